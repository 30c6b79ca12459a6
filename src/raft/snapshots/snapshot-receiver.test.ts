/** Snapshots that are received through restarts of the receiver, and on disks that are full or fail. */
import fs from 'node:fs';
import { mkdtemp, open as openFile, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { limits } from '../../lib/limits.ts';
import type { SnapshotFile } from '../ports.ts';
import type { StorageError } from '../storage-error.ts';
import { SnapshotFiles, type SnapshotFilesOptions } from './snapshot-files.ts';
import { CLUSTER, collect, meta, PEERS, rowsOf, streamOf, SumDigester } from './snapshot-files.test-kit.ts';
import type { SnapshotReceiver } from './snapshot-receiver.ts';

const ROWS = 3000;
let directory = '';
const opened: SnapshotFiles[] = [];
let source: SnapshotFiles;
let file: SnapshotFile;
let incoming: { meta: { index: number; term: number }; fileBytes: number; sender: string };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jarvis-reception-'));
  source = await open('source');
  file = await writeOne(source, 50);
  incoming = {
    meta: { index: 50, term: 1 },
    fileBytes: fs.statSync(file.path).size,
    sender: 'incarnation 2',
  };
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const each of opened.splice(0)) await each.close();
  await rm(directory, { recursive: true });
});

async function open(name: string, more: Partial<SnapshotFilesOptions> = {}): Promise<SnapshotFiles> {
  const snapshots = await SnapshotFiles.open(join(directory, name), {
    clusterId: CLUSTER,
    epoch: 1,
    newDigester: () => new SumDigester(),
    onDamaged: (error: StorageError) => {
      throw error;
    },
    ...more,
  });
  opened.push(snapshots);
  return snapshots;
}

async function writeOne(files: SnapshotFiles, index: number): Promise<SnapshotFile> {
  return await files.write(meta(index), PEERS, streamOf(index, rowsOf(ROWS)));
}

/** From where it wants it, up to about so many bytes. */
async function feed(receiver: SnapshotReceiver, upTo = Number.POSITIVE_INFINITY): Promise<void> {
  for await (const { offset, bytes } of source.bytes(file, receiver.nextOffset)) {
    if (offset >= upTo) return;
    await receiver.write(offset, bytes);
  }
}

function sizeOf({ path }: SnapshotFile): number {
  return fs.statSync(path).size;
}

function files(name = 'target'): readonly string[] {
  return fs.readdirSync(join(directory, name));
}

function partialPath(): string {
  const name = files().find((each) => each.endsWith('.partial')) ?? '';
  return join(directory, 'target', name);
}

/** As when the process is killed: nothing is closed in order. */
async function interrupted(upTo: number): Promise<void> {
  await feed(await (await open('target')).receive(incoming), upTo);
}

async function rowsReceived(target: SnapshotFiles): Promise<number> {
  const [received] = await target.list();
  return received === undefined ? 0 : (await collect(target.rows(received))).length;
}

/** The next call of a file's method fails as the system would let it. */
async function failNext(method: 'write' | 'sync' | 'truncate', code: string): Promise<void> {
  const handle = await openFile(file.path, 'r');
  const prototype = Object.getPrototypeOf(handle) as Pick<typeof handle, typeof method>;
  await handle.close();
  const error = Object.assign(new Error(`${code}: as the disk would say, ${method}`), { code });
  vi.spyOn(prototype, method).mockRejectedValueOnce(error);
}

describe('a snapshot that was half received when the receiver ended', () => {
  it('is gone on with behind its last whole chunk', async () => {
    await interrupted(250_000);
    const heldBytes = fs.statSync(partialPath()).size;
    const target = await open('target');
    const receiver = await target.receive(incoming);
    expect(receiver.nextOffset).toBeLessThanOrEqual(heldBytes);
    // A chunk of the file has 64 KiB and one row more.
    expect(receiver.nextOffset).toBeGreaterThan(heldBytes - 70_000);
    await feed(receiver);
    await receiver.finish();
    expect(await rowsReceived(target)).toBe(ROWS);
    expect(files()).toHaveLength(1);
  });

  it('stays after an orderly end as well, and when all of it was there', async () => {
    const before = await open('target');
    await feed(await before.receive(incoming));
    await before.close();
    const target = await open('target');
    const receiver = await target.receive(incoming);
    expect(receiver.isComplete).toBe(false);
    expect(receiver.nextOffset).toBeGreaterThan(incoming.fileBytes - 1000);
    await feed(receiver);
    await receiver.finish();
    expect(await rowsReceived(target)).toBe(ROWS);
  });

  it('is believed only as far as its checksums go', async () => {
    await interrupted(250_000);
    const path = partialPath();
    const bytes = fs.readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(100_000) ^ 4, 100_000);
    fs.writeFileSync(path, bytes);
    const target = await open('target');
    const receiver = await target.receive(incoming);
    expect(receiver.nextOffset).toBeLessThanOrEqual(100_000);
    expect(receiver.nextOffset).toBeGreaterThan(30_000);
    await feed(receiver);
    await receiver.finish();
    expect(await rowsReceived(target)).toBe(ROWS);
  });

  it.each([0, 3, 19, 20, 21, 200])('begins anew where only %i bytes are there', async (size) => {
    await interrupted(250_000);
    fs.truncateSync(partialPath(), size);
    const target = await open('target');
    const receiver = await target.receive(incoming);
    expect(receiver.nextOffset).toBe(0);
    await feed(receiver);
    await receiver.finish();
    expect(await rowsReceived(target)).toBe(ROWS);
  });

  it('begins anew where its header is that of something else', async () => {
    await interrupted(250_000);
    const path = partialPath();
    const other = await writeOne(await open('other', { clusterId: 'another' }), 50);
    fs.copyFileSync(other.path, path);
    const receiver = await (await open('target')).receive(incoming);
    expect(receiver.nextOffset).toBe(0);
  });

  it.each([
    ['another sender', { sender: 'incarnation 3' }],
    ['another index', { meta: { index: 51, term: 1 } }],
    ['another term', { meta: { index: 50, term: 2 } }],
    ['another size', { fileBytes: 1_000_000 }],
  ])('is deleted for %s', async (_what, change) => {
    await interrupted(250_000);
    const receiver = await (await open('target')).receive({ ...incoming, ...change });
    expect(receiver.nextOffset).toBe(0);
    expect(files()).toHaveLength(1);
    expect(fs.statSync(partialPath()).size).toBe(0);
  });

  it('is kept alone: the newest', async () => {
    await interrupted(250_000);
    const path = partialPath();
    for (const index of [10, 49]) fs.copyFileSync(path, path.replace(/0050\./, `00${index}.`));
    expect(files()).toHaveLength(3);
    await open('target');
    expect(files()).toHaveLength(1);
    expect(partialPath()).toBe(path);
  });

  it('is not kept for long', async () => {
    await interrupted(250_000);
    const wallMs = 1_800_000_000_000;
    const lastMs = wallMs - limits.snapshotPartialKeptMs;
    await utimes(partialPath(), lastMs / 1000, lastMs / 1000);
    await open('target', { wallMs: () => wallMs });
    expect(files()).toHaveLength(1);
    await open('target', { wallMs: () => wallMs + 1 });
    expect(files()).toEqual([]);
  });

  it('goes when a whole one has reached its index, unless it is being received', async () => {
    const target = await open('target');
    const receiver = await target.receive(incoming);
    await feed(receiver, 250_000);
    await writeOne(target, 60);
    await target.keepNewest(2);
    expect(files()).toHaveLength(2);
    await target.close();
    const again = await open('target');
    await again.keepNewest(2);
    expect(files()).toHaveLength(1);
  });
});

describe('receiving a snapshot on a disk that is full or fails', () => {
  it('does not begin where there is no room for it, for what is made of it, and for the log', async () => {
    const neededBytes = 2 * incoming.fileBytes + limits.snapshotRoomBytes;
    let freeBytes = neededBytes - 1;
    const target = await open('target', { freeBytes: async () => freeBytes });
    await expect(target.receive(incoming)).rejects.toMatchObject({
      kind: 'snapshot_unwritable',
      message: `no room for a snapshot of ${incoming.fileBytes} bytes from another node: ${neededBytes} bytes must be free for it, for the state that is made of it, and for the log (${join(directory, 'target')})`,
    });
    expect(await readdir(join(directory, 'target'))).toEqual([]);
    freeBytes += 1;
    await feed(await target.receive(incoming), 250_000);
    await target.close();
    // What is there already needs no room any more.
    const heldBytes = 250_000 - 70_000;
    const again = await open('target', { freeBytes: async () => neededBytes - heldBytes });
    expect((await again.receive(incoming)).nextOffset).toBeGreaterThan(heldBytes);
  });

  it.each([
    ['write', 'ENOSPC'],
    ['write', 'EIO'],
    ['sync', 'EIO'],
    ['truncate', 'EIO'],
  ] as const)(
    'gives it up and deletes it when %s fails with %s, and can begin anew',
    async (method, code) => {
      const target = await open('target');
      const good = await writeOne(target, 40);
      await failNext(method, code);
      const reception = async (): Promise<void> => {
        const receiver = await target.receive(incoming);
        await feed(receiver);
        await receiver.finish();
      };
      await expect(reception()).rejects.toMatchObject({
        kind: 'snapshot_unwritable',
        message: expect.stringMatching(
          new RegExp(`^a snapshot from another node cannot be written, and was given up: ${code}: `),
        ) as string,
      });
      expect(await target.list()).toEqual([good]);
      // Where not even its size could be set nothing of it is there yet.
      expect(files().map((name) => fs.statSync(join(directory, 'target', name)).size)).toEqual(
        method === 'truncate' ? [sizeOf(good), 0] : [sizeOf(good)],
      );
      await reception();
      expect((await target.list()).map((listed) => listed.meta.index)).toEqual([50, 40]);
      expect(files()).toHaveLength(2);
    },
  );

  it('begins for one after the other', async () => {
    const target = await open('target');
    const [first, second, third] = await Promise.all([
      target.receive(incoming),
      target.receive(incoming),
      target.receive({ ...incoming, sender: 'incarnation 3' }),
    ]);
    expect(second).toBe(first);
    expect([first?.isOpen, third?.isOpen]).toEqual([false, true]);
    expect(files()).toHaveLength(1);
  });
});
