import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { tokenText } from '../lib/token-text.ts';
import { newToken } from '../operations/secrets.ts';
import { adminTokenFile } from './admin-token-file.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'jarvis-admin-token-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const modeOf = (name: string): number => statSync(path.join(directory, name)).mode & 0o777;

describe('the file of the first token', () => {
  it('has its name only once it is published, and is for its owner alone all the while', async () => {
    const file = adminTokenFile(directory);
    const token = newToken();
    await file.setAside(token);
    expect(readdirSync(directory)).toEqual(['admin-token.part']);
    expect(modeOf('admin-token.part')).toBe(0o600);
    expect(await file.tokenAside()).toEqual(token);
    await file.publish();
    expect(readdirSync(directory)).toEqual(['admin-token']);
    expect(file.path).toBe(path.join(directory, 'admin-token'));
    expect(modeOf('admin-token')).toBe(0o600);
    expect(readFileSync(file.path, 'utf8')).toBe(`${tokenText(token)}\n`);
    expect(await file.tokenAside()).toBeNull();
  });

  it('takes the place of what was there, whatever its mode', async () => {
    const file = adminTokenFile(directory);
    for (const name of ['admin-token', 'admin-token.part']) {
      writeFileSync(path.join(directory, name), 'something longer than any token is'.repeat(10));
      chmodSync(path.join(directory, name), 0o644);
    }
    const token = newToken();
    await file.setAside(token);
    await file.publish();
    expect(readFileSync(file.path, 'utf8')).toBe(`${tokenText(token)}\n`);
    expect(modeOf('admin-token')).toBe(0o600);
  });

  it('stays as it was where a new one is discarded', async () => {
    const file = adminTokenFile(directory);
    const [first, second] = [newToken(), newToken()];
    await file.setAside(first);
    await file.publish();
    await file.setAside(second);
    await file.discard();
    await file.discard();
    expect(readdirSync(directory)).toEqual(['admin-token']);
    expect(readFileSync(file.path, 'utf8')).toContain(first.id);
  });

  it('that was cut off by a crash holds no token', async () => {
    writeFileSync(path.join(directory, 'admin-token.part'), 'jarvis_abcdefghjkmn_cut');
    expect(await adminTokenFile(directory).tokenAside()).toBeNull();
  });
});
