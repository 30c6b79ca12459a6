import { describe, expect, it } from 'vitest';

import { JarvisError } from './errors.ts';
import { parseToken, tokenText, withoutTokens } from './token-text.ts';

const token = { id: 'abcdefghjkmn', secret: `-_${'Zz9'.repeat(13)}A0` };

describe('the text of a token', () => {
  it('is parsed to what it was made of', () => {
    expect(parseToken(tokenText(token))).toEqual(token);
  });

  it.each([
    '',
    'jarvis_',
    'jarvis_abcdefghjkmn_',
    `${tokenText(token)}x`,
    ` ${tokenText(token)}`,
    'Bearer x',
  ])('is not %j', (text) => {
    expect(parseToken(text)).toBeNull();
  });

  it('loses its secret wherever it is repeated, also cut short or with more behind it', () => {
    const text = tokenText(token);
    expect(withoutTokens(`a ${text} b ${text}tail c`)).toBe(
      'a jarvis_abcdefghjkmn_… b jarvis_abcdefghjkmn_… c',
    );
    expect(withoutTokens(text.slice(0, 30))).toBe('jarvis_abcdefghjkmn_…');
    expect(withoutTokens(`jarvisjoin_join-abc_${'b'.repeat(64)}_${'c'.repeat(64)}.`)).toBe(
      'jarvisjoin_join-abc_….',
    );
    expect(withoutTokens('jarvis_fills_the disk')).toBe('jarvis_fills_the disk');
  });

  it('stands in no error, nor in its faults', () => {
    const text = tokenText(token);
    const faults = [{ path: text, message: `"${text}" is not allowed` }];
    const error = new JarvisError('invalid', `there is no task ${text}`, { faults });
    expect(JSON.stringify([error.message, error.faults])).not.toContain(token.secret.slice(0, 8));
    expect(error.message).toBe('there is no task jarvis_abcdefghjkmn_…');
  });
});
