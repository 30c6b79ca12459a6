import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { Message, SnapshotMeta } from './core/types.ts';
import type { Transport } from './ports.ts';
import { StorageError } from './storage-error.ts';
import { SnapshotSends } from './snapshot-sends.ts';
import { message } from './testing/grpc-members.ts';
import { MemorySnapshots, turn } from './testing/memory-stores.ts';

const unfailed = { failures: 0, lastFailure: null };
const confState = {
  voters: [1, 2, 3, 4],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

async function setUp(indexes: readonly number[]) {
  const snapshots = new MemorySnapshots();
  const add = async (index: number): Promise<void> => {
    const meta: SnapshotMeta = { index, term: 1, confState };
    const rows = { index, rowCount: 0, digest: '', rows: none(), close: async () => {} };
    await snapshots.write(meta, [], rows);
  };
  for (const index of indexes) await add(index);
  const sent: {
    message: Message;
    file: string;
    signal: AbortSignal;
    progress: ((takenBytes: number, totalBytes: number) => void) | undefined;
    end: PromiseWithResolvers<void>;
  }[] = [];
  const transport: Transport = {
    start: () => {},
    setPeers: () => {},
    send: () => {},
    close: async () => {},
    sendSnapshot: async (sending, file, signal, progress) => {
      const end = Promise.withResolvers<void>();
      sent.push({ message: sending, file, signal, progress, end });
      await end.promise;
    },
  };
  /** How many files there were each time when a new one was asked for. */
  const lacking: number[] = [];
  const finished: [to: number, ok: boolean][] = [];
  const clock = new VirtualClock();
  const sends = new SnapshotSends({
    transport,
    snapshots,
    logger: silentLog,
    clock,
    // No jitter: the whole of each wait.
    random: () => 1,
    finished: (to, ok) => finished.push([to, ok]),
    onLacking: () => lacking.push(snapshots.newestFirst.length),
  });
  const begin = (to: number, index: number): void =>
    sends.begin(message(1, to, { type: 'snap', snapshot: { index, term: 1, confState } }));
  return { sends, begin, sent, finished, clock, add, snapshots, lacking };
}

async function* none(): AsyncGenerator<never> {}

/** The newest try fails, and its wait is passed; resolves with how long it was. */
async function failNewest(
  { sent, finished, clock }: Awaited<ReturnType<typeof setUp>>,
  error = new Error('no room'),
): Promise<number> {
  sent.at(-1)?.end.reject(error);
  await settle();
  const before = finished.length;
  const startMs = clock.monotonicMs();
  while (finished.length === before) {
    if (clock.monotonicMs() - startMs > 2 * limits.snapshotRetryMaxMs) throw new Error('no end of the wait');
    await clock.advance(100);
  }
  return clock.monotonicMs() - startMs;
}

async function settle(): Promise<void> {
  for (let count = 0; count < 5; count += 1) await turn();
}

describe('snapshots to followers', () => {
  it('are sent one at a time to each, and their end is told', async () => {
    const { begin, sent, finished, clock } = await setUp([10, 20]);
    begin(2, 10);
    begin(2, 10);
    await settle();
    expect(sent.map(({ file }) => file)).toEqual(['20']);
    sent[0]?.end.resolve();
    await settle();
    expect(finished).toEqual([[2, true]]);
    begin(2, 20);
    await settle();
    sent[1]?.end.reject(new Error('broken'));
    await settle();
    expect(finished).toEqual([[2, true]]);
    await clock.advance(limits.snapshotRetryMinMs);
    expect(finished).toEqual([
      [2, true],
      [2, false],
    ]);
  });

  it('tell how far they have come', async () => {
    const { sends, begin, sent } = await setUp([10]);
    expect(sends.transfer(2)).toBeNull();
    begin(2, 10);
    expect(sends.transfer(2)).toEqual({ index: 0, takenBytes: 0, totalBytes: 0, ...unfailed });
    await settle();
    sent[0]?.progress?.(64, 256);
    expect(sends.transfer(2)).toEqual({ index: 10, takenBytes: 64, totalBytes: 256, ...unfailed });
    sent[0]?.end.resolve();
    await settle();
    expect(sends.transfer(2)).toBeNull();
  });

  it('are sent to a few at once; the others are told to try again', async () => {
    const { begin, sent, finished } = await setUp([10]);
    for (let to = 2; to < 2 + limits.snapshotSendsAtOnce + 1; to += 1) begin(to, 10);
    expect(finished).toEqual([]);
    await settle();
    expect(sent).toHaveLength(limits.snapshotSendsAtOnce);
    expect(finished).toEqual([[2 + limits.snapshotSendsAtOnce, false]]);
  });

  it('are the newest, which may be newer than asked for, and say so', async () => {
    const { begin, sent } = await setUp([20, 30]);
    begin(2, 20);
    await settle();
    expect(sent[0]?.file).toBe('30');
    expect(sent[0]?.message.snapshot?.index).toBe(30);
  });

  it('go on with the same file after an interruption, while it is there', async () => {
    const setting = await setUp([20, 30]);
    const { begin, sent, add } = setting;
    begin(2, 20);
    await settle();
    sent[0]?.progress?.(64, 256);
    await add(40);
    await failNewest(setting);
    begin(2, 20);
    await settle();
    await failNewest(setting);
    begin(2, 40);
    await settle();
    expect(sent.map(({ file }) => file)).toEqual(['30', '30', '40']);
  });

  it('that are given up begin again with the newest', async () => {
    const setting = await setUp([20, 30]);
    const { sends, begin, sent, add } = setting;
    sends.giveUp(2);
    begin(2, 20);
    await settle();
    sent[0]?.progress?.(64, 256);
    await add(40);
    sends.giveUp(2);
    expect(sent[0]?.signal.aborted).toBe(true);
    await failNewest(setting);
    expect(sends.transfer(2)?.lastFailure).toContain('the newest is sent instead');
    begin(2, 20);
    await settle();
    expect(sent.map(({ file }) => file)).toEqual(['30', '40']);
  });

  it('that the follower finds damaged are looked at here: a damaged one goes, and a new one is asked for', async () => {
    const setting = await setUp([20, 30]);
    const { begin, sent, snapshots, lacking } = setting;
    const damaged = new StorageError('snapshot_corrupt', '30', 'damaged');
    begin(2, 20);
    await settle();
    // On its way: here it is whole.
    await failNewest(setting, damaged);
    expect(lacking).toEqual([]);
    snapshots.damaged.add('30');
    begin(2, 20);
    await settle();
    await failNewest(setting, damaged);
    expect(lacking).toEqual([1]);
    begin(2, 20);
    await settle();
    expect(sent.map(({ file }) => file)).toEqual(['30', '30', '20']);
  });

  it('fail where none is new enough, and a new one is asked for', async () => {
    const { begin, sent, finished, clock, lacking } = await setUp([10]);
    begin(2, 20);
    await settle();
    expect(sent).toEqual([]);
    expect(lacking).toEqual([1]);
    await clock.advance(limits.snapshotRetryMinMs);
    expect(finished).toEqual([[2, false]]);
  });

  it('that fail are tried again after waits that grow to a bound, and say why', async () => {
    const setting = await setUp([10]);
    const { sends, begin, sent } = setting;
    const waits: number[] = [];
    for (let count = 1; count <= 7; count += 1) {
      begin(2, 10);
      await settle();
      expect(sent).toHaveLength(count);
      // The same distance each time is no progress.
      sent.at(-1)?.progress?.(64, 256);
      waits.push(await failNewest(setting));
    }
    expect(waits).toEqual([200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(sends.transfer(2)).toEqual({
      index: 10,
      takenBytes: 64,
      totalBytes: 256,
      failures: 7,
      lastFailure: 'no room',
    });
  });

  it('are tried again soon after one that got further than any before', async () => {
    const setting = await setUp([10]);
    const { begin, sent } = setting;
    const waits: number[] = [];
    for (const takenBytes of [0, 0, 0, 64, 64, 128]) {
      begin(2, 10);
      await settle();
      sent.at(-1)?.progress?.(takenBytes, 256);
      waits.push(await failNewest(setting));
    }
    expect(waits).toEqual([200, 400, 800, 200, 400, 200]);
  });

  it('that wait to be tried again are not begun meanwhile, and take nobody their turn', async () => {
    const { begin, sent, finished } = await setUp([10]);
    for (let to = 2; to < 2 + limits.snapshotSendsAtOnce; to += 1) begin(to, 10);
    await settle();
    for (const { end } of sent) end.reject(new Error('no room'));
    await settle();
    begin(2, 10);
    begin(9, 10);
    await settle();
    expect(sent.map(({ message: { to } }) => to)).toEqual([2, 3, 9]);
    expect(finished).toEqual([]);
  });

  it('to members that are none any more are forgotten', async () => {
    const { sends, begin, sent } = await setUp([10]);
    begin(2, 10);
    await settle();
    sent[0]?.end.reject(new Error('no room'));
    await settle();
    expect(sends.transfer(2)?.failures).toBe(1);
    sends.keepOnly([]);
    expect(sends.transfer(2)).toBeNull();
  });

  it('are given up at a stop, of which nobody need be told', async () => {
    const { sends, begin, sent, finished } = await setUp([10]);
    begin(2, 10);
    await settle();
    sends.stop();
    expect(sent[0]?.signal.aborted).toBe(true);
    sent[0]?.end.reject(new Error('aborted'));
    await settle();
    expect(finished).toEqual([]);
  });
});
