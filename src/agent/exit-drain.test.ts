import { describe, expect, it } from 'vitest';

import type { Drain } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { drainBeforeExit, type ExitDrainOptions } from './exit-drain.ts';

const DEADLINE_MS = 60_000;

/** A node whose drain shows what the test says. */
function scene() {
  const clock = new VirtualClock();
  const told: string[] = [];
  const tell = (_fields: object, message: string): void => void told.push(message);
  const log: Log = { ...silentLog, info: tell, warn: tell, error: tell };
  const state = { drain: { tasks_left: 2 } as Partial<Drain> | undefined, isAway: false };
  const asked: object[] = [];
  const answer = async <T>(request: object, value: T): Promise<T> => {
    asked.push(request);
    if (state.isAway) throw new JarvisError('no_leader', 'the cluster has no leader at present');
    return value;
  };
  const operations = {
    drainNode: (request: object) => answer(request, { node: undefined, warnings: [] }),
    getNode: (request: object) => answer(request, { drain: state.drain }),
  } as unknown as ExitDrainOptions['operations'];
  const hurry = new AbortController();
  let isOver = false;
  const options = { name: 'n1', startId: 's1', deadlineMs: DEADLINE_MS, operations, clock, log };
  const run = async (): Promise<void> => {
    await drainBeforeExit(options, hurry.signal);
    isOver = true;
  };
  const begin = async (): Promise<void> => {
    void run();
    await clock.advance(0);
  };
  return { clock, told, state, asked, hurry, begin, isOver: () => isOver };
}

describe('a node that drains itself before it stops', () => {
  it('asks as an operator would, for this start of its daemon, and waits until nothing is left', async () => {
    const { clock, state, asked, begin, isOver, told } = scene();
    await begin();
    expect(asked[0]).toEqual({
      name: 'n1',
      deadline: '1m',
      grace: undefined,
      start_id: 's1',
      idempotency_key: '',
    });
    await clock.advance(30_000);
    expect(isOver()).toBe(false);
    state.drain = { tasks_left: 0, finished_at: 'now' };
    await clock.advance(limits.exitDrainPollMs);
    expect(isOver()).toBe(true);
    expect(told).toEqual(['draining before the stop', 'draining', 'drained: nothing is left here']);
  });

  it('bears that nobody leads for a while', async () => {
    const { clock, state, begin, isOver } = scene();
    await begin();
    state.isAway = true;
    await clock.advance(20_000);
    expect(isOver()).toBe(false);
    state.isAway = false;
    state.drain = { tasks_left: 0, finished_at: 'now' };
    await clock.advance(limits.exitDrainPollMs);
    expect(isOver()).toBe(true);
  });

  it('stops without one where none is to be had', async () => {
    const { state, begin, isOver, told } = scene();
    state.isAway = true;
    await begin();
    expect([isOver(), told]).toEqual([true, ['stopping without a drain']]);
  });

  it('stops without it where an operator has ended it', async () => {
    const { clock, state, begin, isOver } = scene();
    await begin();
    state.drain = undefined;
    await clock.advance(limits.exitDrainPollMs);
    expect(isOver()).toBe(true);
  });

  it('waits for a bounded time beyond the deadline', async () => {
    const { clock, begin, isOver, told } = scene();
    await begin();
    await clock.advance(DEADLINE_MS + limits.exitDrainStopMs - 1);
    expect(isOver()).toBe(false);
    await clock.advance(1);
    expect([isOver(), told.at(-1)]).toEqual([true, 'not drained in time: stopping with what is left']);
  });

  it('ends at once where somebody is in a hurry', async () => {
    const { clock, hurry, begin, isOver } = scene();
    await begin();
    hurry.abort();
    await clock.advance(0);
    expect(isOver()).toBe(true);
  });
});
