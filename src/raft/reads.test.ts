import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { ReadResult } from './core/raft-core.ts';
import { ReadLease } from './read-lease.ts';
import { PendingReads } from './reads.ts';

function setUp({ hasLease = false } = {}) {
  const clock = new VirtualClock();
  const rounds: string[] = [];
  let result: ReadResult = { type: 'accepted' };
  const core = {
    readIndex: (context: string): ReadResult => {
      rounds.push(context);
      return result;
    },
    committedAsLeader: 9 as number | null,
    isTransferring: false,
    isKept: true,
  };
  const lease = hasLease ? new ReadLease(clock, () => core.isKept) : null;
  const reads = new PendingReads(clock, core, lease);
  const request = (signal = new AbortController().signal): Promise<number> => {
    const read = reads.request(signal);
    read.catch(() => {});
    return read;
  };
  const round = (at: number): string => rounds[at] ?? 'none';
  return { clock, core, reads, rounds, round, request, refuse: (next: ReadResult) => (result = next) };
}

/** Whether it is decided once all that is due has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  return (await Promise.race([promise.catch(() => null), Promise.resolve(pending)])) === pending;
}

describe('pending reads', () => {
  it('that wait when a round begins share it', async () => {
    const { reads, rounds, round, request } = setUp();
    const both = [request(), request()];
    reads.begin();
    reads.begin();
    expect(rounds).toHaveLength(1);
    reads.confirmed(round(0), 7);
    reads.applied(7);
    expect(await Promise.all(both)).toEqual([7, 7]);
  });

  it('that arrive after a round began are not answered by it', async () => {
    const { reads, round, request } = setUp();
    const early = request();
    reads.begin();
    const late = request();
    reads.confirmed(round(0), 7);
    reads.applied(9);
    expect(await early).toBe(9);
    expect(await isPending(late)).toBe(true);
    reads.begin();
    reads.confirmed(round(1), 12);
    expect(await isPending(late)).toBe(true);
    reads.applied(11);
    expect(await isPending(late)).toBe(true);
    reads.applied(12);
    expect(await late).toBe(12);
  });

  it('are confirmed by their own round only, once', async () => {
    const { reads, round, request } = setUp();
    const first = request();
    reads.begin();
    const second = request();
    reads.begin();
    reads.confirmed('another', 3);
    reads.confirmed(round(1), 4);
    reads.confirmed(round(1), 1);
    reads.applied(4);
    expect(await second).toBe(4);
    expect(await isPending(first)).toBe(true);
    reads.confirmed(round(0), 4);
    reads.applied(4);
    expect(await first).toBe(4);
  });

  it('end with their caller', async () => {
    const { reads, rounds, request } = setUp();
    const caller = new AbortController();
    const read = request(caller.signal);
    caller.abort();
    await expect(read).rejects.toMatchObject({ code: 'timeout' });
    reads.begin();
    expect(rounds).toEqual([]);
    await expect(request(AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('end in time where no quorum answers', async () => {
    const { clock, reads, request } = setUp();
    const [arrived, begun] = [request(), request()];
    reads.begin();
    await clock.advance(limits.readTimeoutMs);
    await expect(arrived).rejects.toMatchObject({ code: 'no_leader' });
    await expect(begun).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('are refused where the core refuses the round', async () => {
    const { reads, request, refuse } = setUp();
    refuse({ type: 'refused', reason: 'notLeader', leader: 2 });
    const read = request();
    reads.begin();
    await expect(read).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('all fail together, in whatever stage they are', async () => {
    const { reads, round, request } = setUp();
    const confirmed = request();
    reads.begin();
    reads.confirmed(round(0), 9);
    const begun = request();
    reads.begin();
    const arrived = request();
    reads.fail('leadership was lost');
    for (const read of [confirmed, begun, arrived])
      await expect(read).rejects.toMatchObject({ code: 'no_leader' });
    reads.confirmed(round(1), 9);
    reads.applied(9);
  });

  it('are bounded in number', async () => {
    const { reads, request } = setUp();
    const waiting = Array.from({ length: limits.pendingReads }, () => request());
    await expect(request()).rejects.toMatchObject({ code: 'too_many' });
    reads.fail('the end');
    await Promise.allSettled(waiting);
    expect(await isPending(request())).toBe(true);
  });
});

async function leased() {
  const parts = setUp({ hasLease: true });
  const first = parts.request();
  parts.reads.begin();
  parts.reads.confirmed(parts.round(0), 4);
  parts.reads.applied(9);
  await first;
  return parts;
}

describe('reads by lease', () => {
  it('are not for those that must have a quorum', async () => {
    const { reads, rounds, round, request } = await leased();
    const before = rounds.length;
    const byLease = request();
    const byQuorum = reads.request(new AbortController().signal, { needsQuorum: true });
    reads.begin();
    reads.applied(9);
    expect(await byLease).toBe(9);
    expect(rounds).toHaveLength(before + 1);
    expect(await isPending(byQuorum)).toBe(true);
    reads.confirmed(round(before), 9);
    reads.applied(9);
    expect(await byQuorum).toBe(9);
  });

  it('need no round while the lease holds, and see what is committed', async () => {
    const { reads, rounds, request } = await leased();
    const read = request();
    reads.begin();
    expect(rounds).toHaveLength(1);
    expect(await isPending(read)).toBe(true);
    reads.applied(9);
    expect(await read).toBe(9);
  });

  it('ask again once it is over, counted from before the round and with the drift of clocks taken off', async () => {
    const { clock, reads, rounds, round, request } = setUp({ hasLease: true });
    void request();
    reads.begin();
    await clock.advance(200);
    reads.confirmed(round(0), 4);
    await clock.advance(ReadLease.lengthMs - 200 - 1);
    void request();
    reads.begin();
    expect(rounds).toHaveLength(1);
    await clock.advance(1);
    void request();
    reads.begin();
    expect(rounds).toHaveLength(2);
    expect(ReadLease.lengthMs).toBeLessThan(limits.electionTicks * limits.tickMs * 0.99);
  });

  it('end for good when leadership is offered to another, until it is gained anew', async () => {
    const { core, reads, rounds, request, round } = await leased();
    core.isTransferring = true;
    reads.begin();
    core.isTransferring = false;
    void request();
    reads.begin();
    expect(rounds).toHaveLength(2);
    reads.confirmed(round(1), 9);
    void request();
    reads.begin();
    expect(rounds).toHaveLength(3);
    reads.fail('leadership was lost');
    void request();
    reads.begin();
    reads.confirmed(round(3), 9);
    void request();
    reads.begin();
    expect(rounds).toHaveLength(4);
  });

  it('are none while a member has not said that it keeps the promise', async () => {
    const { core, reads, rounds, request } = await leased();
    core.isKept = false;
    void request();
    reads.begin();
    expect(rounds).toHaveLength(2);
  });

  it('are none before an entry of the own term is committed', async () => {
    const { core, reads, rounds, request } = await leased();
    core.committedAsLeader = null;
    void request();
    reads.begin();
    expect(rounds).toHaveLength(2);
  });
});
