/** Replication against a naive version of it: two logs as lists of terms, compared one by one (Raft paper, section 5.3). */
import { array, assert, boolean, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { RaftLog } from './log.ts';
import type { ConfState, Entry } from './types.ts';

const ALL = Number.MAX_SAFE_INTEGER;
const confState: ConfState = {
  voters: [1],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function logOf(terms: readonly number[], committed: number): RaftLog {
  const entries: Entry[] = terms.map((term, at) => ({
    index: at + 1,
    term,
    type: 'normal',
    data: new Uint8Array(),
  }));
  const snapshot = { index: 0, term: 0, confState };
  return new RaftLog({ snapshot, entries, committed, applied: 0, maxApplyingBytes: ALL });
}

function termsOf(log: RaftLog): readonly number[] {
  return log.entriesFrom(1).map(({ term }) => term);
}

function rising(steps: readonly number[], from: number, factor: number, offset: number): readonly number[] {
  let term = from;
  return steps.map((step) => (term += step * factor) + offset);
}

/** Never falling; those of the two suffixes have no term in common, as no term has two leaders. */
const histories = record({
  shared: array(integer({ min: 0, max: 2 }), { maxLength: 8 }),
  leader: array(integer({ min: 0, max: 2 }), { maxLength: 8 }),
  follower: array(integer({ min: 0, max: 2 }), { maxLength: 8 }),
  committed: integer({ min: 0, max: 8 }),
  oneByOne: boolean(),
}).map(({ shared, leader, follower, committed, oneByOne }) => {
  const prefix = rising(shared, 1, 2, 0);
  const from = prefix.at(-1) ?? 1;
  return {
    prefix,
    // Odd and even terms above those of the prefix.
    leader: [...prefix, ...rising(leader, from + 1, 2, 1)],
    follower: [...prefix, ...rising(follower, from + 1, 2, 2)],
    committed: Math.min(committed, prefix.length),
    oneByOne,
  };
});

/** What must come of it: the leader's log, and behind it what does not contradict it. */
function naive(leader: readonly number[], follower: readonly number[]): readonly number[] {
  const differs = leader.some((term, at) => follower[at] !== term);
  return differs ? leader : follower;
}

/** As the core does it (`following.ts`, `replication.ts`), in one place. @returns the probes that it took */
function replicate(
  leader: RaftLog,
  follower: RaftLog,
  options: { prefix: number; oneByOne: boolean },
): number {
  let next = leader.lastIndex + 1;
  for (let probes = 1; ; probes += 1) {
    const previous = next - 1;
    const term = leader.termAt(previous) ?? 0;
    const entries = leader.slice(next, leader.lastIndex, options.oneByOne ? 0 : ALL);
    const last = follower.maybeAppend(previous, term, entries, 0);
    if (last === null) {
      const told = follower.findConflictByTerm(Math.min(previous, follower.lastIndex), term);
      const { index } = leader.findConflictByTerm(told.index, told.term);
      // A hint may come too early, and never jumps over where the logs agree.
      if (index < Math.min(options.prefix, previous - 1) || index >= previous)
        throw new Error(`probed at ${previous}, the hint is ${index}`);
      next = index + 1;
    } else if (last >= leader.lastIndex) return probes;
    else next = last + 1;
  }
}

describe('a follower that is sent the log of the leader', () => {
  it('comes to hold it, whatever it held', () => {
    assert(
      property(histories, ({ prefix, leader, follower, committed, oneByOne }) => {
        const target = logOf(follower, committed);
        replicate(logOf(leader, committed), target, { prefix: prefix.length, oneByOne });
        expect(termsOf(target)).toEqual(naive(leader, follower));
        expect(target.committed).toBe(committed);
      }),
    );
  });

  it('is asked once for each term in which the two differ, and not for each entry', () => {
    assert(
      property(histories, ({ prefix, leader, follower, committed }) => {
        const probes = replicate(logOf(leader, committed), logOf(follower, committed), {
          prefix: prefix.length,
          oneByOne: false,
        });
        const terms = new Set([...leader.slice(prefix.length), ...follower.slice(prefix.length)]);
        expect(probes).toBeLessThanOrEqual(terms.size + 2);
      }),
    );
  });

  it('holds the same before an entry of the same index and term (log matching)', () => {
    assert(
      property(histories, ({ prefix, leader, follower, committed }) => {
        const target = logOf(follower, committed);
        replicate(logOf(leader, committed), target, { prefix: prefix.length, oneByOne: false });
        const [mine, its] = [leader, termsOf(target)];
        const agree = mine.findLastIndex((term, at) => its[at] === term);
        expect(its.slice(0, agree + 1)).toEqual(mine.slice(0, agree + 1));
      }),
    );
  });

  it('takes a candidate for up to date as the definition says', () => {
    assert(
      property(histories, ({ leader, follower, committed }) => {
        const [mine, its] = [leader.at(-1) ?? 0, follower.at(-1) ?? 0];
        const expected = its > mine || (its === mine && follower.length >= leader.length);
        expect(logOf(leader, committed).isUpToDate(follower.length, its)).toBe(expected);
      }),
    );
  });
});
