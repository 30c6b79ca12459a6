import { describe, expect, it, vi } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import { Applier } from './applier.ts';
import { RaftCore } from './core/raft-core.ts';
import type { Entry } from './core/types.ts';
import { foundingMembership } from './membership.ts';
import type { RowStream } from './ports.ts';
import { LogDisk, MemoryLog, MemorySnapshots, MemoryState } from './testing/memory-stores.ts';

const PEERS = [{ raftId: 1, name: 'n1', incarnation: 'i', address: 'a:1' }];
const membership = foundingMembership(PEERS);

function rowsAt(index: number): RowStream {
  return { index, rowCount: 0, digest: '', rows: noRows(), close: async () => {} };
}

async function* noRows(): AsyncGenerator<never> {}

function entryAt(index: number): Entry {
  return { term: 1, index, type: 'normal', data: Buffer.from(`${index}`) };
}

function applierOn(snapshots: MemorySnapshots, entries: readonly Entry[] = []): Applier {
  const core = new RaftCore(
    {
      id: 1,
      electionTicks: 10,
      heartbeatTicks: 1,
      random: seededRandom(1),
      maxInflightMessages: 1,
      maxInflightBytes: 1,
      maxMessageBytes: 1,
      maxUncommittedBytes: 1,
      maxCommittedBytesPerReady: 1,
      preVote: true,
      checkQuorum: true,
    },
    {
      hardState: { term: 1, vote: 0, commit: 0 },
      snapshot: { index: 0, term: 0, confState: membership.confState },
      entries: [...entries],
      applied: 0,
    },
  );
  return new Applier({
    core,
    log: new MemoryLog(new LogDisk()),
    stateMachine: new MemoryState(),
    snapshots,
    snapshotBounds: { entries: 2, logBytes: 1_000_000 },
    logger: silentLog,
    membership,
    onApplied: () => {},
    onMembership: () => {},
    onBatch: () => {},
    onInstalled: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
}

describe('an installation', () => {
  it('keeps its own file, however many newer ones were received meanwhile: the log has not recorded those', async () => {
    const snapshots = new MemorySnapshots();
    const { confState } = membership;
    for (const index of [10, 20, 30, 40])
      await snapshots.write({ index, term: 1, confState }, PEERS, rowsAt(index));
    await applierOn(snapshots).install({ index: 20, term: 1, confState }, Promise.resolve());
    expect((await snapshots.list()).map(({ meta }) => meta.index)).toEqual([40, 30, 20, 10]);
  });
});

describe('snapshots', () => {
  it('are taken of what was applied while one was written, also where nothing more comes', async () => {
    const snapshots = new MemorySnapshots();
    const written: number[] = [];
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const write = snapshots.write.bind(snapshots);
    snapshots.write = async (meta, ...rest) => {
      written.push(meta.index);
      if (written.length === 1) await first.promise;
      else second.resolve();
      return await write(meta, ...rest);
    };
    const entries = [1, 2, 3, 4].map(entryAt);
    const applier = applierOn(snapshots, entries);
    applier.apply(entries.slice(0, 2));
    await vi.waitUntil(() => written.length === 1);
    applier.apply(entries.slice(2));
    await vi.waitUntil(() => applier.appliedIndex === 4);
    first.resolve();
    await second.promise;
    expect(written).toEqual([2, 4]);
    await applier.stop();
  });
});
