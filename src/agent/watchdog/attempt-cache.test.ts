import { describe, expect, it } from 'vitest';

import type { AttemptStop, AttemptView, Exit } from '../drivers/driver.ts';
import { AttemptCache } from './attempt-cache.ts';

const never = new AbortController().signal;
const key = { taskId: 'task-1', assignment: 1 };
const identity = { ...key, attempt: 1, session: 5, term: 1, fencingToken: '1', isLeased: true };
const patient: AttemptStop = { reason: 'stopped', sinceMs: 1000, killAtMs: 61_000 };
const hasty: AttemptStop = { ...patient, killAtMs: 2000 };
const ended: Exit = {
  exitCode: null,
  signal: 'SIGKILL',
  reason: 'stopped',
  message: '',
  startedAtMs: 500,
  finishedAtMs: 2000,
  errorFile: null,
  resultFile: null,
  logTail: '',
};

function running(stop?: AttemptStop): AttemptView {
  const view = { ...identity, type: 'running', startedAtMs: 500, stopping: stop !== undefined } as const;
  return stop === undefined ? view : { ...view, stop };
}

/** A cache that has learnt that it runs, and what its waiter is told. */
function waitedFor(): { cache: AttemptCache; told: AttemptStop[]; exit: Promise<Exit> } {
  const cache = new AttemptCache();
  cache.learn(running());
  const told: AttemptStop[] = [];
  return { cache, told, exit: cache.wait(key, never, (stop) => told.push(stop)) };
}

describe('news of an attempt', () => {
  it('tell each step of its end once, however often and late they come', async () => {
    const { cache, told, exit } = waitedFor();
    // Two stops: the events come at once, the answers to the requests after both of them.
    for (const stop of [patient, hasty, patient, hasty]) cache.learn(running(stop));
    expect(told).toEqual([patient, hasty]);
    expect(cache.get(key)).toEqual(running(hasty));
    cache.learn({ ...identity, type: 'ended', exit: ended });
    expect(await exit).toEqual(ended);
  });

  it('do not take a step back: the answer to its start comes after its stop', () => {
    const { cache, told } = waitedFor();
    for (const stop of [patient, undefined, patient]) cache.learn(running(stop));
    expect(told).toEqual([patient]);
    const late: AttemptStop[] = [];
    void cache.wait(key, never, (stop) => late.push(stop));
    expect(late).toEqual([patient]);
  });

  it('tell of a sooner end alone, and of nothing once it has ended', () => {
    const { cache, told } = waitedFor();
    for (const stop of [hasty, patient]) cache.learn(running(stop));
    cache.learn({ ...identity, type: 'ended', exit: ended });
    cache.learn(running(patient));
    expect(told).toEqual([hasty]);
    expect(cache.get(key)?.type).toBe('ended');
  });
});
