import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { makeDirectoryDurably } from './durable-file.ts';

function newRoot(): string {
  const root = mkdtempSync(path.join(tmpdir(), 'jarvis-durable-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  return root;
}

describe('making a directory', () => {
  it('makes those above it too, for nobody else to read, and leaves what is there', async () => {
    const root = newRoot();
    const deep = path.join(root, 'a', 'b', 'c');
    await makeDirectoryDurably(deep);
    writeFileSync(path.join(deep, 'file'), 'x');
    await makeDirectoryDurably(deep);
    expect(readdirSync(deep)).toEqual(['file']);
    expect(statSync(path.join(root, 'a')).mode % 0o1000).toBe(0o700);
  });

  it('by several at once ends well for all', async () => {
    const deep = path.join(newRoot(), 'a', 'b');
    await Promise.all([1, 2, 3].map(() => makeDirectoryDurably(deep)));
    expect(readdirSync(deep)).toEqual([]);
  });

  it('fails where a file is in the way', async () => {
    const file = path.join(newRoot(), 'file');
    writeFileSync(file, '');
    await expect(makeDirectoryDurably(file)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectoryDurably(path.join(file, 'a'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it.runIf(process.platform === 'linux')(
    'fails, and ends, where the file system has no such names',
    async () => {
      await expect(makeDirectoryDurably('/proc/jarvis/a')).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});
