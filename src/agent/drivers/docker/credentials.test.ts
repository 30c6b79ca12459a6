import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { credentialsFor, withoutPassword } from './credentials.ts';

const SECRET = 'canary-4711';

describe('credentialsFor', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'jarvis-credentials-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  const from = (registry: string, text: string) => {
    const file = path.join(directory, 'credentials.json');
    writeFileSync(file, text);
    return credentialsFor(registry, new Map([[registry, file]]));
  };
  const auth = Buffer.from(`me:${SECRET}:x`).toString('base64');

  it('reads a user name and a password, or what docker login writes', async () => {
    expect(await credentialsFor('docker.io', new Map())).toBeNull();
    const expected = { username: 'me', password: `${SECRET}:x` };
    expect(await from('localhost:5000', JSON.stringify(expected))).toEqual(expected);
    expect(await from('localhost:5000', JSON.stringify({ auths: { 'localhost:5000': { auth } } }))).toEqual(
      expected,
    );
    const hub = JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } }, credsStore: 'none' });
    expect(await from('docker.io', hub)).toEqual(expected);
  });

  it.each([
    SECRET,
    JSON.stringify({ password: SECRET }),
    JSON.stringify({ auths: { other: { auth } } }),
    JSON.stringify({ auths: { 'localhost:5000': { auth: Buffer.from(SECRET).toString('base64') } } }),
  ])('says what is wrong with a file, never what it holds: %#', async (text) => {
    const failure = await from('localhost:5000', text).catch((error: unknown) => error);
    expect(failure).toMatchObject({ errorType: 'AuthenticationError' });
    expect(String(failure)).not.toContain('4711');
    expect(String(failure)).toContain('credentials.json');
  });

  it('says that it is not there', async () => {
    const missing = credentialsFor('r', new Map([['r', path.join(directory, 'missing')]]));
    await expect(missing).rejects.toThrow('missing');
  });
});

describe('what a registry says', () => {
  const credentials = { username: 'ci', password: 's3cr3t/pass' };

  it.each([
    ['denied: s3cr3t/pass', 'denied: …'],
    [`Basic ${Buffer.from('ci:s3cr3t/pass').toString('base64')} is wrong`, 'Basic …= is wrong'],
    [`{"auth":"${Buffer.from(JSON.stringify(credentials)).toString('base64url')}"}`, '{"auth":"…"}'],
    ['registry.example.com/thing:1: denied', 'registry.example.com/thing:1: denied'],
  ])('is told without the password: %s', (said, told) => {
    expect(withoutPassword(said, credentials)).toBe(told);
  });

  it('is told as it is where there is none', () => {
    expect(withoutPassword('denied', null)).toBe('denied');
    expect(withoutPassword('denied', { username: 'ci', password: '' })).toBe('denied');
  });
});
