/** Torn or corrupt: every kind of damage, at every place, and what recovery makes of it. */
import { describe, expect, it } from 'vitest';

import type { Entry } from '../core/types.ts';
import { isStorageError } from '../storage-error.ts';
import { SimulatedLogFiles } from './simulated-log-files.test-kit.ts';
import { Wal } from './wal.ts';

const IDENTITY = {
  clusterId: '6f1c2d3e-0000-4000-8000-000000000001',
  incarnation: '6f1c2d3e-0000-4000-8000-00000000000a',
};
const DIRECTORY = '/log';
const FIRST = `${DIRECTORY}/0000000000000001.log`;
const WATERMARK = `${DIRECTORY}/watermark`;
const HEADER_BYTES = 4096;
const CONF_STATE = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

function entry(index: number, term = 1, bytes = 20): Entry {
  return { index, term, type: 'normal', data: Buffer.alloc(bytes, index % 251) };
}

async function open(files: SimulatedLogFiles, mustReach = 0) {
  return await Wal.open(DIRECTORY, IDENTITY, { create: true, segmentBytes: 8192, files, mustReach });
}

async function append(wal: Wal, ...entries: readonly Entry[]): Promise<void> {
  const commit = (entries[0]?.index ?? 1) - 1;
  await wal.append({ hardState: { term: 1, vote: 1, commit }, entries, snapshot: null });
}

/** What opening a copy of the disk leads to. */
async function outcome(files: SimulatedLogFiles, mustReach = 0) {
  const copy = files.clone();
  try {
    const { wal, recovery } = await open(copy, mustReach);
    await wal.close();
    return {
      kind: recovery.repaired === null ? 'clean' : 'torn',
      last: recovery.entries.at(-1)?.index ?? 0,
      copy,
    };
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return { kind: error.kind, last: 0, copy };
  }
}

/** A log of three batches in one segment; the watermark is that after batch `watermarkAfter`, or is lost (0). */
async function threeBatches(watermarkAfter: number) {
  const files = new SimulatedLogFiles();
  const { wal } = await open(files);
  const watermarks = [Buffer.alloc(0)];
  const ends = [HEADER_BYTES];
  for (const index of [1, 2, 3]) {
    await append(wal, entry(index, 1, 20 + index));
    watermarks.push(Buffer.from(files.bytes(WATERMARK)));
    let end = 8192;
    while (end > 0 && files.bytes(FIRST)[end - 1] === 0) end -= 1;
    ends.push(Math.ceil(end / 8) * 8);
  }
  files.put(WATERMARK, watermarks[watermarkAfter] ?? Buffer.alloc(0));
  const [, firstEnd = 0, secondEnd = 0, thirdEnd = 0] = ends;
  return { files, firstEnd, secondEnd, thirdEnd };
}

describe('a torn last batch', () => {
  it('is cut off at whatever byte it ends', async () => {
    const { files, secondEnd, thirdEnd } = await threeBatches(2);
    const whole = Buffer.from(files.bytes(FIRST));
    for (let cut = secondEnd; cut <= thirdEnd; cut += 1) {
      const torn = Buffer.from(whole);
      torn.fill(0, cut);
      files.put(FIRST, torn);
      const { kind, last, copy } = await outcome(files);
      const isWhole = torn.equals(whole);
      const expected = isWhole ? ['clean', 3] : [cut === secondEnd ? 'clean' : 'torn', 2];
      expect([kind, last], `cut at ${cut}`).toEqual(expected);
      // Repaired once, it is clean, and can be written again.
      const { wal, recovery } = await open(copy);
      expect(recovery.repaired).toBeNull();
      await append(wal, entry(last + 1));
      expect(await outcome(copy)).toMatchObject({ kind: 'clean', last: last + 1 });
    }
  });

  it('is cut off where its beginning is missing and its end is there', async () => {
    const { files, secondEnd, thirdEnd } = await threeBatches(2);
    const whole = Buffer.from(files.bytes(FIRST));
    for (let cut = secondEnd + 1; cut < thirdEnd; cut += 1) {
      const torn = Buffer.from(whole);
      torn.fill(0, secondEnd, cut);
      files.put(FIRST, torn);
      const isClean = torn.subarray(secondEnd).every((byte) => byte === 0);
      expect({ cut, ...(await outcome(files)) }).toMatchObject({
        kind: isClean ? 'clean' : 'torn',
        last: 2,
      });
    }
  });

  it('is corruption where the watermark covers it', async () => {
    const { files, secondEnd, thirdEnd } = await threeBatches(3);
    const whole = Buffer.from(files.bytes(FIRST));
    for (let cut = secondEnd; cut < thirdEnd; cut += 1) {
      const torn = Buffer.from(whole);
      torn.fill(0, cut);
      files.put(FIRST, torn);
      const { kind } = await outcome(files);
      expect(kind, `cut at ${cut}`).toBe(torn.equals(whole) ? 'clean' : 'log_corrupt');
    }
  });
});

describe('a flipped bit', () => {
  const watermarks = [0, 1, 2, 3];
  for (const watermark of watermarks)
    it(`is detected and judged, anywhere, with a watermark after batch ${watermark}`, async () => {
      const { files, secondEnd, thirdEnd } = await threeBatches(watermark);
      const whole = Buffer.from(files.bytes(FIRST));
      const offsets = [];
      for (let offset = 0; offset < HEADER_BYTES; offset += offset < 256 ? 1 : 97) offsets.push(offset);
      for (let offset = HEADER_BYTES; offset < thirdEnd + 64; offset += 1) offsets.push(offset);
      offsets.push(HEADER_BYTES - 1, 8191);
      for (const offset of offsets) {
        const damaged = Buffer.from(whole);
        damaged.writeUInt8(damaged.readUInt8(offset) ^ (1 << (offset % 8)), offset);
        files.put(FIRST, damaged);
        const { kind, last } = await outcome(files);
        const isCovered = offset < secondEnd || (offset < thirdEnd && watermark === 3);
        const expected = isCovered ? ['refused', 0] : ['torn', offset >= thirdEnd ? 3 : 2];
        expect([/^log_|^format_/.test(kind) ? 'refused' : kind, last], `bit at ${offset}`).toEqual(expected);
      }
    });

  it('in an older batch is corruption although the one after it is torn', async () => {
    const { files, firstEnd, thirdEnd } = await threeBatches(1);
    const bytes = files.bytes(FIRST);
    bytes.writeUInt8(bytes.readUInt8(firstEnd + 40) ^ 1, firstEnd + 40);
    bytes.fill(0, thirdEnd - 20);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('changes nothing on disk where it is corruption', async () => {
    const { files } = await threeBatches(3);
    files.bytes(FIRST).writeUInt8(99, HEADER_BYTES + 5);
    const before = Buffer.from(files.bytes(FIRST));
    const { copy } = await outcome(files);
    expect(copy.bytes(FIRST).equals(before)).toBe(true);
  });

  it('in the watermark costs the watermark only', async () => {
    const { files } = await threeBatches(3);
    for (let offset = 0; offset < 1024; offset += 1) {
      const copy = files.clone();
      copy.bytes(WATERMARK).writeUInt8(copy.bytes(WATERMARK).readUInt8(offset) ^ 4, offset);
      expect({ offset, ...(await outcome(copy)) }).toMatchObject({ kind: 'clean', last: 3 });
    }
  });
});

/** A batch that is in the page cache when the process dies. */
async function unsyncedBatch() {
  const files = new SimulatedLogFiles();
  files.makeDirectory(DIRECTORY);
  files.syncDirectory('/');
  const { wal } = await open(files);
  await append(wal, entry(1));
  files.onOperation = (operation) => {
    if (operation === 'syncData') throw Object.assign(new Error('EIO'), { code: 'EIO' });
  };
  await expect(append(wal, entry(2))).rejects.toMatchObject({ kind: 'storage_failed' });
  files.onOperation = () => {};
  return files;
}

describe('what was written and never synced', () => {
  it('is durable before it is given back', async () => {
    const files = await unsyncedBatch();
    const { recovery } = await open(files);
    expect(recovery.entries).toHaveLength(2);
    files.powerCut(() => 1);
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 2 });
  });

  it('is written once more, since a sync after a failed one may say yes and do nothing', async () => {
    const files = await unsyncedBatch();
    files.loseUnsynced();
    const { recovery } = await open(files);
    expect(recovery.entries).toHaveLength(2);
    files.powerCut(() => 1);
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 2 });
  });
});

describe('the watermark', () => {
  it('is not fooled by truncation: it is a position in the files', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await append(wal, ...Array.from({ length: 20 }, (_, position) => entry(position + 1)));
    await append(wal, entry(2, 2));
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 2 });
  });

  it('notices that the newest segments are gone', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    for (let index = 1; index <= 20; index += 1) await append(wal, entry(index, 1, 600));
    const names = files.list(DIRECTORY).filter((name) => name.endsWith('.log'));
    expect(names.length).toBeGreaterThan(2);
    files.remove(`${DIRECTORY}/${names.sort().at(-1) ?? ''}`);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('notices an older copy of the log', async () => {
    const { files, secondEnd } = await threeBatches(3);
    files.bytes(FIRST).fill(0, secondEnd);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });
});

/** Thirty batches of one entry each in several segments, by rising path. */
async function manySegments() {
  const files = new SimulatedLogFiles();
  const { wal } = await open(files);
  for (let index = 1; index <= 30; index += 1) await append(wal, entry(index, 1, 600));
  const names = files.list(DIRECTORY).filter((name) => name.endsWith('.log'));
  return { files, wal, paths: names.sort().map((name) => `${DIRECTORY}/${name}`) };
}

/** Three batches, of which the disk has the first; it said that it had the others. */
async function liedAbout(isLiedAbout: (path: string) => boolean) {
  const files = new SimulatedLogFiles();
  files.makeDirectory(DIRECTORY);
  files.syncDirectory('/');
  const { wal } = await open(files);
  await append(wal, entry(1));
  files.powerCut(() => 0, { fateOf: () => 'all' });
  const again = await open(files);
  files.lies = isLiedAbout;
  await append(again.wal, entry(2));
  await append(again.wal, entry(3));
  return files;
}

describe('a disk that lies about syncs', () => {
  it('is found out where the watermark reached it', async () => {
    const files = await liedAbout((path) => path === FIRST);
    files.powerCut(() => 0, { fateOf: (path) => (path === WATERMARK ? 'all' : 'none') });
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('is found out where a later batch reached it', async () => {
    const files = await liedAbout((path) => path === FIRST);
    const whole = Buffer.from(files.bytes(FIRST));
    files.powerCut(() => 0, { fateOf: () => 'none' });
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 1 });
    const second = Buffer.from(files.bytes(FIRST));
    // Of the second batch the beginning is gone, and the third is there.
    const from = second.findLastIndex((byte) => byte !== 0) + 64;
    whole.copy(second, from, from);
    files.put(FIRST, second);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('is found out by the state, where that reached further', async () => {
    const files = await liedAbout(() => true);
    files.powerCut(() => 0, { fateOf: () => 'none' });
    expect(await outcome(files, 3)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('is not found out where log and watermark went back together: docs/storage.md', async () => {
    const files = await liedAbout(() => true);
    files.powerCut(() => 0, { fateOf: () => 'none' });
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 1 });
  });
});

describe('segments', () => {
  it('are corrupt where one in the middle or at the beginning is missing', async () => {
    const { files, paths } = await manySegments();
    for (const path of paths.slice(0, -1)) {
      const copy = files.clone();
      copy.remove(path);
      expect({ path, ...(await outcome(copy)) }).toMatchObject({ kind: 'log_corrupt' });
    }
  });

  it('are corrupt where the end of an older one is cut off', async () => {
    const { files, paths } = await manySegments();
    files.put(WATERMARK, Buffer.alloc(0));
    for (const path of paths.slice(0, -1)) {
      const copy = files.clone();
      copy.bytes(path).fill(0, 7000);
      expect({ path, ...(await outcome(copy)) }).toMatchObject({ kind: 'log_corrupt' });
      copy.put(path, files.bytes(path).subarray(0, 7000));
      expect({ path, ...(await outcome(copy)) }).toMatchObject({ kind: 'log_corrupt' });
    }
  });

  it('are ignored where they are wholly below the snapshot', async () => {
    const { files, wal, paths } = await manySegments();
    const before = files.clone();
    await wal.compact({ index: 20, term: 1, confState: CONF_STATE });
    const removed = paths.filter((path) => !files.list(DIRECTORY).includes(path.slice(DIRECTORY.length + 1)));
    expect(removed.length).toBeGreaterThan(2);
    // As if a crash had come before the deletion, and the leftovers had rotted since.
    for (const path of removed) files.put(path, Buffer.from(before.bytes(path)).fill(1, 4200));
    const again = await open(files);
    expect(again.recovery.entries.map(({ index }) => index)).toEqual([
      21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    ]);
    await again.wal.compact({ index: 22, term: 1, confState: CONF_STATE });
    for (const path of removed) expect(files.list(DIRECTORY)).not.toContain(path.slice(DIRECTORY.length + 1));
  });

  it('never validate batches of another segment or log', async () => {
    const { files, paths } = await manySegments();
    files.put(WATERMARK, Buffer.alloc(0));
    const last = paths.at(-1) ?? '';
    // The batches of an older segment, behind the header of the newest.
    files.bytes(paths[0] ?? '').copy(files.bytes(last), HEADER_BYTES, HEADER_BYTES);
    const { kind, last: lastIndex } = await outcome(files);
    expect([kind, lastIndex < 30]).toEqual(['torn', true]);
  });

  it('must reach what the state was made from', async () => {
    const { files } = await manySegments();
    expect(await outcome(files, 30)).toMatchObject({ kind: 'clean' });
    expect(await outcome(files, 31)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('are corrupt where the end of an older one is lost although no index is missing', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await append(wal, entry(1, 1, 1500), entry(2, 1, 500));
    const before = Buffer.from(files.bytes(FIRST));
    // The same index again, in another term; then a batch that does not fit any more.
    await append(wal, entry(2, 2, 500));
    await append(wal, entry(3, 2, 3000));
    expect(files.list(DIRECTORY)).toContain('0000000000000002.log');
    files.put(WATERMARK, Buffer.alloc(0));
    expect(await outcome(files)).toMatchObject({ kind: 'clean', last: 3 });
    files.put(FIRST, before);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('keep all that a snapshot does not cover, wherever it ends', async () => {
    const { files } = await manySegments();
    for (let index = 1; index <= 30; index += 1) {
      const copy = files.clone();
      const { wal } = await open(copy);
      await wal.compact({ index, term: 1, confState: CONF_STATE });
      const { recovery } = await open(copy);
      expect([recovery.snapshot?.index, recovery.entries.length]).toEqual([index, 30 - index]);
    }
  });

  it('never validate a batch that stands where another should', async () => {
    const { files, firstEnd, thirdEnd } = await threeBatches(0);
    // An old batch of this very segment, behind the last one.
    files.bytes(FIRST).copy(files.bytes(FIRST), thirdEnd, HEADER_BYTES, firstEnd);
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });

  it('must reach what was committed', async () => {
    const files = new SimulatedLogFiles();
    const { wal } = await open(files);
    await wal.append({ hardState: { term: 1, vote: 1, commit: 9 }, entries: [entry(1)], snapshot: null });
    expect(await outcome(files)).toMatchObject({ kind: 'log_corrupt' });
  });
});
