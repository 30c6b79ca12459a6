import { describe, expect, it } from 'vitest';

import { wrapLine } from './wrap.ts';

describe('wrapLine', () => {
  it('breaks between words, and hangs what goes on', () => {
    expect(wrapLine('  one two three four', 11)).toEqual(['  one two', '    three', '    four']);
    expect(wrapLine('one', 2)).toEqual(['one']);
    expect(wrapLine('a wordthatistoolong b', 8)).toEqual(['a', '  wordthatistoolong', '  b']);
  });

  it('keeps the spaces within a line, and whole what is to be copied', () => {
    expect(wrapLine('A:    one two three', 12)).toEqual(['A:    one', '  two three']);
    expect(wrapLine('see `jarvisctl ls -o name`, or (`jarvisctl get x`) now', 12)).toEqual([
      'see',
      '  `jarvisctl ls -o name`,',
      '  or',
      '  (`jarvisctl get x`)',
      '  now',
    ]);
    expect(wrapLine('"jarvisctl ls -o name" lists "a b c"', 12)).toEqual([
      '"jarvisctl ls -o name"',
      '  lists "a b',
      '  c"',
    ]);
  });

  it('leaves alone what fits, and all where nothing has to fit', () => {
    expect(wrapLine('  one  two', 10)).toEqual(['  one  two']);
    expect(wrapLine('a '.repeat(99), undefined)).toEqual(['a '.repeat(99)]);
  });
});
