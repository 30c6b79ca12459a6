import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { readSmallFile } from './text-files.ts';

let root: string;
let file: string;
const complaints: string[] = [];

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'jarvis-text-'));
  file = path.join(root, 'result.json');
  complaints.length = 0;
});

afterEach(() => rmSync(root, { recursive: true }));

async function read(): Promise<string | null> {
  return readSmallFile(file, (message) => complaints.push(message));
}

it('reads what a task has left, up to 4 KiB of it', async () => {
  expect(await read()).toBeNull();
  writeFileSync(file, '');
  expect(await read()).toBe('');
  writeFileSync(file, '{"naïve": "€"}');
  expect(await read()).toBe('{"naïve": "€"}');
  writeFileSync(file, 'x'.repeat(4096));
  expect(await read()).toHaveLength(4096);
  expect(complaints).toEqual([]);
  writeFileSync(file, 'x'.repeat(4097));
  expect(await read()).toBeNull();
});

it.each<[string, (secret: string) => void]>([
  ['a link to a file', (secret) => symlinkSync(secret, file)],
  ['a link to a device', () => symlinkSync('/dev/zero', file)],
  ['a link that leads nowhere', () => symlinkSync('nowhere', file)],
  ['a link to itself', () => symlinkSync('result.json', file)],
  ['another name of a file', (secret) => linkSync(secret, file)],
  ['a directory', () => mkdirSync(file)],
  ['a FIFO', () => execFileSync('mkfifo', [file])],
])('is not taken in by %s', async (_what, make) => {
  const secret = path.join(root, 'secret');
  writeFileSync(secret, 'secret');
  make(secret);
  expect(await read()).toBeNull();
});

it('is not taken in by a socket', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(file, resolve);
  });
  expect(await read()).toBeNull();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

it('takes what is no UTF-8 for absent, and says so', async () => {
  writeFileSync(file, Buffer.from([0x22, 0xff, 0x22]));
  expect(await read()).toBeNull();
  expect(complaints).toEqual(['a file of a task does not read']);
});
