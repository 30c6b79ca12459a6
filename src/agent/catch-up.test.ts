import { beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { Leadership } from '../scheduler/ports.ts';
import { catchUp } from './catch-up.ts';
import type { MemberQuestions } from './member-questions.ts';

type Digests = Awaited<ReturnType<MemberQuestions['digests']>>;

const leader = { name: 'n1', address: 'n1:7101' };

let clock: VirtualClock;
let leadership: Leadership;
let appliedIndex: number;
let advanced: Set<() => void>;
let asked: string[];
let answer: Promise<number>;

beforeEach(() => {
  clock = new VirtualClock();
  leadership = { isLeader: false, term: 3, leader };
  appliedIndex = 10;
  advanced = new Set();
  asked = [];
  answer = Promise.resolve(12);
});

const digests: MemberQuestions['digests'] = async ({ name }) => {
  asked.push(name);
  return { commit_index: await answer } as Digests;
};

/** What it comes to, once it has. */
function start(signal: AbortSignal = new AbortController().signal) {
  const outcome: { value: unknown } = { value: 'waiting' };
  const replica = {
    leadership: () => leadership,
    get appliedIndex() {
      return appliedIndex;
    },
    onAdvanced: (listener: () => void) => {
      advanced.add(listener);
      return () => advanced.delete(listener);
    },
  };
  catchUp({ replica, questions: { digests }, clock }, signal).then(
    () => (outcome.value = 'done'),
    (error: unknown) => (outcome.value = error),
  );
  return outcome;
}

function applied(index: number): void {
  appliedIndex = index;
  for (const listener of advanced) listener();
}

describe('a node that catches up', () => {
  it('waits until it has applied what the leader had committed when it was asked', async () => {
    const outcome = start();
    await clock.advance(0);
    expect([outcome.value, asked]).toEqual(['waiting', ['n1']]);
    applied(11);
    await clock.advance(0);
    expect(outcome.value).toBe('waiting');
    applied(12);
    await clock.advance(0);
    expect(outcome.value).toBe('done');
    // Once, however far the leader has come since.
    expect([asked, advanced.size]).toEqual([['n1'], 0]);
  });

  it('does not wait where it has come as far already', async () => {
    appliedIndex = 12;
    const outcome = start();
    await clock.advance(0);
    expect(outcome.value).toBe('done');
  });

  it('asks nobody where it leads', async () => {
    leadership = { ...leadership, isLeader: true };
    const outcome = start();
    await clock.advance(0);
    expect([outcome.value, asked]).toEqual(['done', []]);
  });

  it('fails at once where nobody leads', async () => {
    leadership = { ...leadership, leader: null };
    const outcome = start();
    await clock.advance(0);
    expect(outcome.value).toMatchObject({ code: 'no_leader' });
  });

  it('fails where the leader does', async () => {
    answer = Promise.reject(new JarvisError('unavailable', 'down'));
    const outcome = start();
    await clock.advance(0);
    expect(outcome.value).toMatchObject({ code: 'unavailable' });
  });

  it('fails where the leader does not answer before the caller gives up', async () => {
    answer = new Promise(() => {});
    const giveUp = new AbortController();
    const outcome = start(giveUp.signal);
    await clock.advance(0);
    giveUp.abort();
    await clock.advance(0);
    expect(outcome.value).toMatchObject({ code: 'timeout', message: 'n1 does not answer' });
  });

  it('fails where it does not come as far before the caller gives up, and listens no more', async () => {
    const giveUp = new AbortController();
    const outcome = start(giveUp.signal);
    await clock.advance(3 * limits.tokenCatchUpMs);
    expect(outcome.value).toBe('waiting');
    giveUp.abort();
    await clock.advance(0);
    expect([outcome.value, advanced.size]).toMatchObject([{ code: 'timeout' }, 0]);
  });
});
