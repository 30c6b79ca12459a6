import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { Fault } from '../lib/errors.ts';
import { forgetVariable, joinTokenOf, parseJoinCredentials } from './join-credentials.ts';

const ID = `join-${'a'.repeat(18)}`;
const SECRET = 'ca9a4'.repeat(13).slice(0, 64);
const TOKEN = `jarvisjoin_${ID}_${SECRET}`;

function checked(raw: Parameters<typeof parseJoinCredentials>[0]) {
  const faults: Fault[] = [];
  return { credentials: parseJoinCredentials(raw, faults), faults };
}

function fileWith(text: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-join-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'token');
  writeFileSync(file, text);
  return file;
}

describe('the join token of a node', () => {
  it('is a setting, or stands in a file, or is not there', () => {
    const shown = { id: ID, secret: SECRET, authorityHash: null, text: TOKEN };
    expect(joinTokenOf(checked({ join_token: TOKEN }).credentials)).toEqual(shown);
    const file = fileWith(`${TOKEN}\n`);
    expect(joinTokenOf(checked({ join_token_file: file }).credentials)).toEqual(shown);
    expect(joinTokenOf(checked({}).credentials)).toBeNull();
  });

  it('is not looked for in its file before it is needed', () => {
    const { credentials, faults } = checked({ join_token_file: '/nowhere/token' });
    expect(faults).toEqual([]);
    expect(() => joinTokenOf(credentials)).toThrow(/^join_token_file: \/nowhere\/token: ENOENT/);
  });

  it.each<[string, Parameters<typeof parseJoinCredentials>[0], RegExp]>([
    ['two of them', { join_token: TOKEN, join_token_file: 'f' }, /join_token_file exclude each other/],
    ['no text', { join_token: { canary: SECRET } }, /is no join token/],
    ['one cut off', { join_token: TOKEN.slice(0, -1) }, /is cut off, or was changed/],
    ['a file of no name', { join_token_file: '' }, /is not a path/],
    ['a file that is a number', { join_token_file: 7 }, /is not a path/],
  ])('%s: refused, without what it is', (_what, raw, message) => {
    const { faults } = checked(raw);
    expect(faults).toHaveLength(1);
    expect(faults[0]?.message).toMatch(message);
    expect(JSON.stringify(faults)).not.toContain(SECRET.slice(0, 8));
  });

  it('is not shown by what is said of a file with something else in it', () => {
    const { credentials } = checked({ join_token_file: fileWith(`token: ${TOKEN}`) });
    expect(() => joinTokenOf(credentials)).toThrow(
      new RegExp(`^(?!.*${SECRET.slice(0, 8)})join_token_file: .*is no join token`),
    );
  });

  it('is inherited by nothing that the node starts', () => {
    const environment: Record<string, string | undefined> = { JARVISD_JOIN_TOKEN: TOKEN, HOME: '/' };
    forgetVariable(environment);
    expect(environment).toEqual({ HOME: '/' });
  });
});
