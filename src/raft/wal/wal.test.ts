import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Entry, HardState, SnapshotMeta } from '../core/types.ts';
import { isStorageError } from '../storage-error.ts';
import { SimulatedLogFiles } from './simulated-log-files.test-kit.ts';
import { Wal, type WalOptions } from './wal.ts';

const IDENTITY = {
  clusterId: '6f1c2d3e-0000-4000-8000-000000000001',
  incarnation: '6f1c2d3e-0000-4000-8000-00000000000a',
};
const DIRECTORY = '/log';

function entry(index: number, term = 1, text = `entry ${index} of term ${term}`): Entry {
  return { index, term, type: index % 5 === 0 ? 'confChange' : 'normal', data: Buffer.from(text) };
}

function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, position) => entry(from + position, term));
}

function meta(index: number, term = 1): SnapshotMeta {
  const confState = {
    voters: [1, 2, 3],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { index, term, confState };
}

function append(wal: Wal, added: readonly Entry[], hardState: HardState | null = null): Promise<void> {
  return wal.append({ hardState, entries: added, snapshot: null });
}

function readable(found: readonly Entry[]): string[] {
  return found.map(
    ({ index, term, type, data }) => `${index}/${term} ${type} ${Buffer.from(data).toString()}`,
  );
}

async function open(files: SimulatedLogFiles, options: Partial<WalOptions> = {}) {
  return await Wal.open(DIRECTORY, IDENTITY, { create: true, segmentBytes: 64 * 1024, files, ...options });
}

describe('a log on a simulated disk', () => {
  it('gives back what was appended, with the newest term, vote and commit', async () => {
    const files = new SimulatedLogFiles();
    const { wal, recovery } = await open(files);
    expect(recovery).toEqual({
      hardState: { term: 0, vote: 0, commit: 0 },
      snapshot: null,
      entries: [],
      repaired: null,
    });
    await append(wal, [], { term: 1, vote: 2, commit: 0 });
    await append(wal, entries(1, 10), { term: 1, vote: 2, commit: 3 });
    await append(wal, [entry(11, 1, '')], { term: 1, vote: 2, commit: 10 });
    await wal.close();

    const again = await open(files, { create: false, mustReach: 11 });
    expect(again.recovery.hardState).toEqual({ term: 1, vote: 2, commit: 10 });
    expect(again.recovery.repaired).toBeNull();
    expect(readable(again.recovery.entries)).toEqual(readable([...entries(1, 10), entry(11, 1, '')]));
  });

  it('replaces a conflicting tail', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await append(wal, entries(1, 10));
    await append(wal, entries(6, 7, 2));
    await append(wal, entries(8, 8, 2));
    const { recovery } = await open(files);
    expect(readable(recovery.entries)).toEqual(readable([...entries(1, 5), ...entries(6, 8, 2)]));
  });

  it('refuses a gap as the bug that it is', async () => {
    const { wal } = await open(new SimulatedLogFiles());
    await append(wal, entries(1, 3));
    await expect(append(wal, entries(5, 5))).rejects.toThrow('does not follow');
  });

  it('keeps what follows a compaction, and drops what an installed snapshot contradicts', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await append(wal, entries(1, 10));
    await wal.compact(meta(4));
    const compacted = await open(files.clone());
    expect(compacted.recovery.snapshot).toEqual(meta(4));
    expect(readable(compacted.recovery.entries)).toEqual(readable(entries(5, 10)));

    await wal.append({
      hardState: { term: 3, vote: 0, commit: 8 },
      entries: entries(9, 9, 3),
      snapshot: meta(8, 2),
    });
    const installed = await open(files);
    expect(installed.recovery.snapshot).toEqual(meta(8, 2));
    expect(readable(installed.recovery.entries)).toEqual(readable(entries(9, 9, 3)));
  });

  it('keeps what follows an installed snapshot whose last entry it holds', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await append(wal, entries(1, 10));
    await wal.append({ hardState: null, entries: [], snapshot: meta(6) });
    const { recovery } = await open(files);
    expect(recovery.snapshot).toEqual(meta(6));
    expect(readable(recovery.entries)).toEqual(readable(entries(7, 10)));
  });

  it('rolls over to new segments, and deletes those that a snapshot covers', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files, { segmentBytes: 8192 });
    for (let index = 1; index <= 200; index += 1)
      await append(wal, [entry(index, 1, 'x'.repeat(200))], { term: 1, vote: 1, commit: index });
    const before = wal.stats().segments;
    expect(before).toBeGreaterThan(10);
    await wal.compact(meta(150));
    expect(wal.stats().segments).toBeLessThan(before / 2);
    const { recovery } = await open(files);
    expect(recovery.hardState.commit).toBe(200);
    expect(recovery.entries.map(({ index }) => index)).toEqual(entries(151, 200).map(({ index }) => index));
  });

  it('deletes the segments before an installed snapshot when that is kept as a file', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files, { segmentBytes: 8192 });
    for (let index = 1; index <= 30; index += 1) await append(wal, [entry(index, 1, 'x'.repeat(600))]);
    await wal.append({ hardState: null, entries: [], snapshot: meta(500, 2) });
    for (let index = 501; index <= 520; index += 1) await append(wal, [entry(index, 2, 'x'.repeat(600))]);
    const before = wal.stats().segments;
    await wal.compact(meta(20));
    expect(wal.stats().segments).toBe(before);
    await wal.compact(meta(500, 2));
    expect(wal.stats().segments).toBeLessThan(before / 2);
    const { recovery } = await open(files);
    expect([recovery.snapshot, recovery.entries.length]).toEqual([meta(500, 2), 20]);
  });

  it('gives a batch that does not fit a segment of its own size', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    const large = { index: 1, term: 1, type: 'normal', data: Buffer.alloc(200_000, 7) } as const;
    await append(wal, [large]);
    await append(wal, entries(2, 3));
    const { recovery } = await open(files);
    expect(recovery.entries).toHaveLength(3);
    expect(Buffer.compare(recovery.entries[0]?.data ?? Buffer.alloc(0), large.data)).toBe(0);
  });

  it('covers what queues meanwhile with one sync, and resolves in order', async () => {
    const { wal } = await open(new SimulatedLogFiles());
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, position) => {
        await append(wal, [entry(position + 1)]);
        order.push(position + 1);
      }),
    );
    expect(order).toEqual(Array.from({ length: 20 }, (_, position) => position + 1));
    expect(wal.stats().fsyncs).toBe(1);
    expect(wal.stats().pending).toBe(0);
  });

  it('says so where there is no log, and does not begin one unasked', async () => {
    const files = new SimulatedLogFiles();
    await expect(open(files, { create: false })).rejects.toMatchObject({ kind: 'log_missing' });
    await expect(open(files, { mustReach: 5 })).rejects.toMatchObject({ kind: 'log_missing' });
    expect(files.list(DIRECTORY)).toEqual([]);
    const { wal } = await open(files);
    await append(wal, entries(1, 3));
    files.remove(`${DIRECTORY}/0000000000000001.log`);
    await expect(open(files)).rejects.toMatchObject({ kind: 'log_missing' });
  });

  it('refuses a log of another cluster or incarnation', async () => {
    const files = new SimulatedLogFiles();
    await open(files);
    const other = '6f1c2d3e-0000-4000-8000-0000000000ff';
    for (const identity of [
      { ...IDENTITY, clusterId: other },
      { ...IDENTITY, incarnation: other },
    ])
      await expect(Wal.open(DIRECTORY, identity, { create: true, files })).rejects.toMatchObject({
        kind: 'log_foreign',
        code: 'invalid',
      });
  });
});

describe('a disk that fails', () => {
  for (const operation of ['write', 'syncData', 'open', 'rename', 'syncDirectory'] as const)
    it(`ends acknowledgements for good after a failed ${operation}`, async () => {
      const files = new SimulatedLogFiles();
      const { wal } = await open(files, { segmentBytes: 8192 });
      let failures = 0;
      files.onOperation = (attempted) => {
        if (attempted !== operation || failures > 0) return;
        failures += 1;
        throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
      };
      // Large enough that all of it cannot be in one segment, so that every operation is needed.
      const attempts = Array.from({ length: 10 }, (_, position) =>
        append(wal, [entry(position + 1, 1, 'x'.repeat(1500))]),
      );
      const results = await Promise.allSettled(attempts);
      expect(results.every(({ status }) => status === 'rejected')).toBe(true);
      // The disk works again, and still nothing is acknowledged: what happened to the first write is unknown.
      const writesBefore = files.bytes(`${DIRECTORY}/0000000000000001.log`).toString('hex');
      const later = await append(wal, entries(1, 1)).catch((error: unknown) => error);
      expect(isStorageError(later, 'storage_failed')).toBe(true);
      await expect(wal.compact(meta(1))).rejects.toBe(later);
      await expect(wal.failure).rejects.toBe(later);
      await wal.close();
      expect(files.bytes(`${DIRECTORY}/0000000000000001.log`).toString('hex')).toBe(writesBefore);
    });
});

describe('a log on a real disk, written by its thread', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'jarvis-wal-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('survives closing and opening', async () => {
    const durations: number[] = [];
    const options = { create: true, segmentBytes: 256 * 1024, onFsync: (ms: number) => durations.push(ms) };
    const first = await Wal.open(join(directory, 'log'), IDENTITY, options);
    const pending: Promise<void>[] = [];
    for (let index = 1; index <= 2000; index += 1)
      pending.push(
        append(first.wal, [entry(index, 1, 'y'.repeat(300))], { term: 1, vote: 1, commit: index - 1 }),
      );
    await Promise.all(pending);
    const stats = first.wal.stats();
    expect(stats.fsyncs).toBe(durations.length);
    expect(stats.fsyncs).toBeLessThan(2000);
    await first.wal.compact(meta(1000));
    await first.wal.close();

    const second = await Wal.open(join(directory, 'log'), IDENTITY, {
      ...options,
      create: false,
      mustReach: 2000,
    });
    expect(second.recovery.repaired).toBeNull();
    expect(second.recovery.snapshot).toEqual(meta(1000));
    expect(second.recovery.entries.map(({ index }) => index)).toEqual(
      entries(1001, 2000).map(({ index }) => index),
    );
    await append(second.wal, entries(2001, 2001));
    await second.wal.close();
    const third = await Wal.open(join(directory, 'log'), IDENTITY, options);
    expect(third.recovery.entries.at(-1)?.index).toBe(2001);
    await third.wal.close();
  });

  it('rejects everything once the thread cannot write', async () => {
    const log = join(directory, 'log');
    const { wal } = await Wal.open(log, IDENTITY, { create: true, segmentBytes: 8192 });
    await append(wal, entries(1, 3));
    // The next segment cannot be made where the directory is gone.
    fs.rmSync(log, { recursive: true });
    const results = await Promise.allSettled([
      append(wal, [entry(4, 1, 'z'.repeat(9000))]),
      append(wal, [entry(5)]),
    ]);
    for (const result of results)
      expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'storage_failed' } });
    await expect(append(wal, [entry(6)])).rejects.toMatchObject({ kind: 'storage_failed' });
    await wal.close();
  });
});
