import fs from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { nodeFiles } from '../durable-files.ts';
import type { Row, SnapshotFile } from '../ports.ts';
import type { StorageError } from '../storage-error.ts';
import { SnapshotFiles } from './snapshot-files.ts';
import {
  CLUSTER,
  collect,
  meta,
  PEERS,
  rowsOf,
  streamed,
  streamOf,
  SumDigester,
} from './snapshot-files.test-kit.ts';
import { snapshotName } from './snapshot-format.ts';

async function* breaking(): AsyncGenerator<Row> {
  yield* rowsOf(2000);
  throw new Error('unreadable');
}

function readable(rows: readonly Row[]): string[] {
  return rows.map(({ key, value }) => `${key}=${Buffer.from(value).toString('hex')}`);
}

let directory = '';
let damaged: StorageError[] = [];
const opened: SnapshotFiles[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'jarvis-snapshots-'));
  damaged = [];
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
  await rm(directory, { recursive: true });
});

async function open(path = directory, clusterId = CLUSTER, files = nodeFiles): Promise<SnapshotFiles> {
  const snapshots = await SnapshotFiles.open(path, {
    files,
    clusterId,
    epoch: 7,
    newDigester: () => new SumDigester(),
    onDamaged: (error) => damaged.push(error),
  });
  opened.push(snapshots);
  return snapshots;
}

async function writeOne(
  snapshots: SnapshotFiles,
  index: number,
  rows: readonly Row[],
  term = 1,
): Promise<SnapshotFile> {
  return await snapshots.write(meta(index, term), PEERS, streamOf(index, rows));
}

describe('snapshot files', () => {
  it('give back what was written, after opening again too', async () => {
    const rows = [...rowsOf(2000), { key: 'large', value: Buffer.alloc(300_000, 9) }];
    const written = await writeOne(await open(), 42, rows, 3);
    const snapshots = await open();
    const [file] = await snapshots.list();
    expect(file).toEqual(written);
    expect(file).toMatchObject({ meta: meta(42, 3), peers: PEERS });
    expect(readable(await collect(snapshots.rows(written)))).toEqual(readable(rows));
    const { header, trailer } = await snapshots.inspect(written);
    expect([header.clusterId, header.epoch, trailer.rowCount]).toEqual([CLUSTER, 7, 2001]);
    expect(trailer.chunks).toBeGreaterThan(5);
  });

  it('may hold no rows', async () => {
    const snapshots = await open();
    const file = await writeOne(snapshots, 1, []);
    expect(await collect(snapshots.rows(file))).toEqual([]);
  });

  it('are listed newest first, and only the newest are kept', async () => {
    const snapshots = await open();
    for (const [index, term] of [
      [9, 1],
      [100, 1],
      [1000, 2],
      [20, 1],
    ] as const)
      await writeOne(snapshots, index, rowsOf(3), term);
    expect((await snapshots.list()).map((file) => file.meta.index)).toEqual([1000, 100, 20, 9]);
    await snapshots.keepNewest(2);
    expect((await snapshots.list()).map((file) => file.meta.index)).toEqual([1000, 100]);
    expect(await readdir(directory)).toHaveLength(2);
  });

  it('are listed whatever is deleted meanwhile, and with what takes its place', async () => {
    const snapshots = await open();
    await writeOne(snapshots, 9, rowsOf(3));
    const names = async (path: string) => {
      const before = await nodeFiles.names(path);
      if ((await snapshots.list()).length > 1) return before;
      await writeOne(snapshots, 20, rowsOf(3));
      await snapshots.keepNewest(1);
      await writeOne(snapshots, 30, rowsOf(3));
      return before;
    };
    const listing = await open(directory, CLUSTER, { ...nodeFiles, names });
    expect((await listing.list()).map((file) => file.meta.index)).toEqual([30, 20]);
  });

  it('do not count where the state has other rows than it should', async () => {
    const snapshots = await open();
    const rows = rowsOf(50);
    const full = streamOf(5, rows);
    for (const rest of [
      rows.slice(1),
      [...rows, ...rows.slice(0, 1)],
      [...rows.slice(1), ...rowsOf(1, 77)],
    ]) {
      const stream = { ...full, rows: streamed(rest) };
      await expect(snapshots.write(meta(5), PEERS, stream)).rejects.toMatchObject({
        kind: 'snapshot_corrupt',
      });
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('are not left half-written where the rows cannot be read or the file not be written', async () => {
    const snapshots = await open();
    const stream = streamOf(5, []);
    const broken = {
      ...stream,
      rows: breaking(),
    };
    await expect(snapshots.write(meta(5), PEERS, broken)).rejects.toThrow('unreadable');
    expect(await readdir(directory)).toEqual([]);
    fs.rmSync(directory, { recursive: true });
    await expect(snapshots.write(meta(5), PEERS, stream)).rejects.toMatchObject({ kind: 'storage_failed' });
    await mkdir(directory);
  });

  it('are given up at a stop, and nothing is left of them', async () => {
    const snapshots = await open();
    const stop = new AbortController();
    let read = 0;
    async function* stopping(): AsyncGenerator<Row> {
      for (const row of rowsOf(2000)) {
        read += 1;
        if (read === 1000) stop.abort(new Error('stop'));
        yield row;
      }
    }
    const stream = { ...streamOf(5, rowsOf(2000)), rows: stopping() };
    await expect(snapshots.write(meta(5), PEERS, stream, stop.signal)).rejects.toThrow('stop');
    expect(read).toBe(1000);
    expect(await readdir(directory)).toEqual([]);
  });

  it('leave no rest of an earlier attempt', async () => {
    const path = join(directory, `${snapshotName(meta(5), 'taken')}.tmp`);
    await writeFile(path, 'half');
    await writeFile(join(directory, `${snapshotName(meta(6), 'received')}.tmp`), 'half');
    await open();
    expect(await readdir(directory)).toEqual([]);
  });

  it('of another cluster or format do not count, and are not deleted', async () => {
    const file = await writeOne(await open(directory, 'another'), 5, rowsOf(3));
    const snapshots = await open();
    expect(await snapshots.list()).toEqual([]);
    expect(damaged.map(({ kind }) => kind)).toEqual(['log_foreign']);
    const bytes = await readFile(file.path);
    bytes.writeUInt32LE(9, 8);
    await writeFile(file.path, bytes);
    await snapshots.keepNewest(2);
    expect(damaged.at(-1)?.kind).toBe('format_unknown');
    expect(await readdir(directory)).toHaveLength(1);
  });
});

describe('a damaged snapshot file', () => {
  it('is detected whichever bit is flipped', async () => {
    const snapshots = await open();
    const file = await writeOne(snapshots, 5, rowsOf(6, 20));
    const whole = await readFile(file.path);
    for (let offset = 0; offset < whole.byteLength; offset += 1) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8(flipped.readUInt8(offset) ^ (1 << (offset % 8)), offset);
      await writeFile(file.path, flipped);
      const result = await snapshots.verify(file).then(
        () => 'intact',
        ({ kind }: StorageError) => kind,
      );
      expect(result, `bit at ${offset}`).toMatch(/^(snapshot_corrupt|format_unknown)$/);
    }
  });

  it('is detected wherever it is cut off, and is not listed', async () => {
    const snapshots = await open();
    const file = await writeOne(snapshots, 5, rowsOf(6, 20));
    const whole = await readFile(file.path);
    for (let length = 0; length < whole.byteLength; length += 1) {
      await writeFile(file.path, whole.subarray(0, length));
      const result = await snapshots.list();
      expect(result, `cut to ${length}`).toEqual([]);
    }
    await snapshots.keepNewest(2);
    expect(await readdir(directory)).toEqual([]);
  });

  it('is detected where whole chunks are missing, doubled or in another order', async () => {
    const snapshots = await open();
    const file = await writeOne(snapshots, 5, rowsOf(600, 400));
    const whole = await readFile(file.path);
    const headerEnd = 20 + whole.readUInt32LE(12);
    const chunks: Buffer[] = [];
    let offset = headerEnd;
    const { trailer } = await snapshots.inspect(file);
    for (let chunk = 0; chunk < trailer.chunks; chunk += 1) {
      const end = offset + 12 + whole.readUInt32LE(offset);
      chunks.push(whole.subarray(offset, end));
      offset = end;
    }
    const [head, tail] = [whole.subarray(0, headerEnd), whole.subarray(offset)];
    const [first = head, second = head, ...others] = chunks;
    for (const changed of [
      [second, first, ...others],
      [second, ...others],
      [first, second, ...others.slice(0, -1)],
      [first, first, second, ...others],
    ]) {
      await writeFile(file.path, Buffer.concat([head, ...changed, tail]));
      await expect(snapshots.verify(file)).rejects.toMatchObject({ kind: 'snapshot_corrupt' });
    }
    await writeFile(file.path, Buffer.concat([head, ...chunks, tail]));
    await snapshots.verify(file);
  });
});

describe('receiving a snapshot file', () => {
  const rows = rowsOf(1500);
  async function sourceFile() {
    const source = await open(join(directory, 'source'));
    const file = await writeOne(source, 5, rows);
    const { size } = fs.statSync(file.path);
    const target = await open(join(directory, 'target'));
    const incoming = { meta: { index: 5, term: 1 }, fileBytes: size, sender: 'n2 start 3' };
    return { source, file, target, incoming };
  }

  it('ends with the same file, through an interruption', async () => {
    const { source, file, target, incoming } = await sourceFile();
    const first = await target.receive(incoming);
    for await (const { offset, bytes } of source.bytes(file, first.nextOffset)) {
      await first.write(offset, bytes);
      if (offset > 100_000) break;
    }
    await expect(first.finish()).rejects.toMatchObject({ code: 'invalid' });
    expect(await target.list()).toEqual([]);
    const second = await target.receive(incoming);
    expect(second.nextOffset).toBeGreaterThan(100_000);
    // One piece earlier than needed: what is there already is passed over.
    for await (const { offset, bytes } of source.bytes(file, second.nextOffset - 1000))
      await second.write(offset, bytes);
    expect(second.isComplete).toBe(true);
    await second.finish();
    const [received] = await target.list();
    expect(received?.meta).toEqual(meta(5));
    expect(basename(received?.path ?? '')).toMatch(/^\d+-\d+\.received\.snapshot$/);
    expect(readable(await collect(target.rows(received as SnapshotFile)))).toEqual(readable(rows));
  });

  it('does not say that the log must reach it, until the log has recorded it', async () => {
    const { source, file, target, incoming } = await sourceFile();
    await writeOne(target, 3, rowsOf(3));
    const receiver = await target.receive(incoming);
    for await (const { offset, bytes } of source.bytes(file, 0)) await receiver.write(offset, bytes);
    await receiver.finish();
    const again = await open(join(directory, 'target'));
    expect((await again.list()).map((listed) => listed.meta.index)).toEqual([5, 3]);
    expect(await again.newestTakenIndex()).toBe(3);
    await again.discardUnrecorded(5);
    expect(await again.list()).toHaveLength(2);
    await writeOne(again, 5, rowsOf(3));
    expect(await again.newestTakenIndex()).toBe(5);
    await again.keepNewest(2);
    expect((await again.list()).map((listed) => listed.meta.index)).toEqual([5, 3]);
    await again.discardUnrecorded(3);
    expect(await again.newestTakenIndex()).toBe(5);
  });

  it('is deleted where a crash came before the log recorded it', async () => {
    const { source, file, target, incoming } = await sourceFile();
    await writeOne(target, 3, rowsOf(3));
    const receiver = await target.receive(incoming);
    for await (const { offset, bytes } of source.bytes(file, 0)) await receiver.write(offset, bytes);
    await receiver.finish();
    await target.discardUnrecorded(4);
    expect((await target.list()).map((listed) => listed.meta.index)).toEqual([3]);
  });

  it('begins anew for another sender or another file', async () => {
    const { source, file, target, incoming } = await sourceFile();
    const first = await target.receive(incoming);
    for await (const { offset, bytes } of source.bytes(file, 0)) {
      await first.write(offset, bytes);
      break;
    }
    const second = await target.receive({ ...incoming, sender: 'n3 start 1' });
    expect(second.nextOffset).toBe(0);
    await expect(first.write(first.nextOffset, Buffer.from('x'))).rejects.toMatchObject({
      kind: 'snapshot_corrupt',
    });
    const third = await target.receive({ ...incoming, meta: { index: 6, term: 1 } });
    expect(third.nextOffset).toBe(0);
    expect(await readdir(join(directory, 'target'))).toHaveLength(1);
    await target.close();
  });

  it('refuses gaps and more than was announced', async () => {
    const { target, incoming } = await sourceFile();
    const receiver = await target.receive(incoming);
    await expect(receiver.write(1, Buffer.from('x'))).rejects.toMatchObject({ code: 'invalid' });
    await expect(receiver.write(0, Buffer.alloc(incoming.fileBytes + 1))).rejects.toMatchObject({
      code: 'invalid',
    });
    await receiver.write(0, Buffer.from('xx'));
    await expect(receiver.write(3, Buffer.from('x'))).rejects.toMatchObject({ code: 'invalid' });
    await target.close();
  });

  it('never replaces a good file by a damaged one, or by one of something else', async () => {
    const { source, file, target, incoming } = await sourceFile();
    const good = await writeOne(target, 5, rowsOf(3));
    const bytes = await readFile(file.path);
    bytes.writeUInt8(bytes.readUInt8(50_000) ^ 1, 50_000);
    const receiver = await target.receive(incoming);
    await receiver.write(0, bytes);
    await expect(receiver.finish()).rejects.toMatchObject({ kind: 'snapshot_corrupt' });
    const announcedOther = await target.receive({ ...incoming, meta: { index: 6, term: 1 } });
    for await (const piece of source.bytes(file, 0)) await announcedOther.write(piece.offset, piece.bytes);
    await expect(announcedOther.finish()).rejects.toMatchObject({ kind: 'snapshot_corrupt' });
    expect(await target.list()).toEqual([good]);
    expect(await collect(target.rows(good))).toHaveLength(3);
    expect(await readdir(join(directory, 'target'))).toHaveLength(1);
  });
});
