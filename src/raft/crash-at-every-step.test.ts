/** The power fails at every file operation of what a node keeps beside its log, with whatever a disk may then have kept. */
import { describe, expect, it } from 'vitest';

import { seededRandom } from '../lib/random.ts';
import type { SnapshotMeta } from './core/types.ts';
import { makeDirectoryDurably, writeDurably } from './durable-file.ts';
import { SimulatedFiles } from './simulated-files.test-kit.ts';
import { SnapshotFiles } from './snapshots/snapshot-files.ts';
import { countStart } from './starts.ts';
import { SimulatedLogFiles } from './wal/simulated-log-files.test-kit.ts';

const SNAPSHOTS = '/data/snapshots';
const CLUSTER = '6f1c2d3e-0000-4000-8000-000000000001';
const SEEDS_PER_STEP = 12;
const MOST_STEPS = 40;
const CONF_STATE = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

class NoPower extends Error {}

interface Crash {
  readonly disk: SimulatedLogFiles;
  /** The action had resolved: what it promised must be there. */
  readonly isDone: boolean;
}

/** `prepare` and then `action`, which the power interrupts before each of its operations, and once right after the last. */
async function* crashes(
  prepare: (disk: SimulatedLogFiles) => Promise<void>,
  action: (files: SimulatedFiles) => Promise<unknown>,
): AsyncGenerator<Crash> {
  for (let steps = 0; steps < MOST_STEPS; steps += 1) {
    let isDone = false;
    for (let seed = 0; seed < SEEDS_PER_STEP; seed += 1) {
      const disk = new SimulatedLogFiles();
      await prepare(disk);
      isDone = await interrupted(disk, steps, () => action(new SimulatedFiles(disk)));
      disk.powerCut(seededRandom(steps * SEEDS_PER_STEP + seed));
      yield { disk, isDone };
    }
    if (isDone) return;
  }
  throw new Error(`it takes more than ${MOST_STEPS} operations`);
}

/** @returns whether it ended before its operations were used up */
async function interrupted(
  disk: SimulatedLogFiles,
  steps: number,
  action: () => Promise<unknown>,
): Promise<boolean> {
  let left = steps;
  disk.onOperation = (operation) => {
    // Closing changes nothing on a disk.
    if (operation === 'close') return;
    left -= 1;
    if (left < 0) throw new NoPower();
  };
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof NoPower) && !(error instanceof Error && error.cause instanceof NoPower))
      throw error;
    return false;
  } finally {
    disk.onOperation = () => {};
  }
}

function meta(index: number): SnapshotMeta {
  return { index, term: 1, confState: CONF_STATE };
}

async function open(files: SimulatedFiles): Promise<SnapshotFiles> {
  return await SnapshotFiles.open(SNAPSHOTS, {
    clusterId: CLUSTER,
    epoch: 1,
    newDigester: () => ({ add: () => {}, rowCount: 1, digest: 'd' }),
    onDamaged: (error) => {
      throw error;
    },
    files,
  });
}

async function take(files: SimulatedFiles, index: number): Promise<void> {
  const stream = {
    index,
    term: 1,
    rowCount: 1,
    digest: 'd',
    rows: rows(),
    close: async () => {},
  };
  await (await open(files)).write(meta(index), [], stream);
}

async function* rows() {
  yield { key: 'k', value: Buffer.alloc(1500, 7) };
}

/** What a start would find; a file that does not count, where none was damaged, fails the test. */
async function found(disk: SimulatedLogFiles): Promise<readonly number[]> {
  const snapshots = await open(new SimulatedFiles(disk));
  const files = await snapshots.list();
  for (const file of files) await snapshots.verify(file);
  return files.map((file) => file.meta.index);
}

async function withOlder(disk: SimulatedLogFiles): Promise<void> {
  for (const index of [10, 20]) await take(new SimulatedFiles(disk), index);
}

async function keepNewest(files: SimulatedFiles): Promise<void> {
  await (await open(files)).keepNewest(1);
}

async function start(files: SimulatedFiles): Promise<number> {
  return (await countStart('/data', { isMember: false, startId: 'a' }, files)).counter;
}

async function write(files: SimulatedFiles, content: string): Promise<void> {
  await makeDirectoryDurably('/data', files);
  await writeDurably('/data/record', content, files);
}

async function startedOnce(disk: SimulatedLogFiles): Promise<void> {
  await makeDirectoryDurably('/data', new SimulatedFiles(disk));
  await start(new SimulatedFiles(disk));
}

async function withRecord(disk: SimulatedLogFiles): Promise<void> {
  await write(new SimulatedFiles(disk), 'old');
}

describe('a power cut at every step', () => {
  it('of a snapshot leaves all of it or nothing, and all of it once it was written', async () => {
    const seen = new Set<string>();
    for await (const { disk, isDone } of crashes(withOlder, (files) => take(files, 30))) {
      const indexes = await found(disk);
      expect([[30, 20, 10], ...(isDone ? [] : [[20, 10]])]).toContainEqual(indexes);
      seen.add(`${indexes.length}`);
    }
    expect([...seen].sort()).toEqual(['2', '3']);
  });

  it('of receiving one does the same', async () => {
    const sender = new SimulatedLogFiles();
    await take(new SimulatedFiles(sender), 30);
    const source = await open(new SimulatedFiles(sender));
    const [file] = await source.list();
    if (file === undefined) throw new Error('it has been written');
    const pieces: { offset: number; bytes: Buffer }[] = [];
    for await (const piece of source.bytes(file, 0)) pieces.push(piece);
    const fileBytes = pieces.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    const receive = async (files: SimulatedFiles): Promise<void> => {
      const receiver = await (await open(files)).receive({ meta: meta(30), fileBytes, sender: 's' });
      for (const { offset, bytes } of pieces) await receiver.write(offset, bytes);
      await receiver.finish();
    };
    for await (const { disk, isDone } of crashes(withOlder, receive))
      expect([[30, 20, 10], ...(isDone ? [] : [[20, 10]])]).toContainEqual(await found(disk));
  });

  it('of deleting older ones never takes one that is kept', async () => {
    for await (const { disk, isDone } of crashes(withOlder, keepNewest))
      expect([[20], ...(isDone ? [] : [[20, 10]])]).toContainEqual(await found(disk));
  });

  it('of counting a start never counts back', async () => {
    for await (const { disk, isDone } of crashes(startedOnce, start))
      expect([3, ...(isDone ? [] : [2])]).toContain(await start(new SimulatedFiles(disk)));
  });

  it('of a record leaves the old content or the new', async () => {
    for await (const { disk, isDone } of crashes(withRecord, (files) => write(files, 'new, and longer')))
      expect(['new, and longer', ...(isDone ? [] : ['old'])]).toContain(
        disk.bytes('/data/record').toString(),
      );
  });

  it('of making directories leaves them once they were made', async () => {
    const made = crashes(
      async () => {},
      (files) => makeDirectoryDurably('/data/a/b', files),
    );
    for await (const { disk, isDone } of made)
      expect([true, ...(isDone ? [] : [false])]).toContain(disk.isDirectory('/data/a/b'));
  });
});
