/**
 * Random clusters and lives: every action is one that Raft's own core accepts, with majorities of living voters in both
 * halves of the joint configuration; actions come to an end; and nothing moves for deaths shorter than the grace time.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { failureTolerance, quorumMargin } from '../../model/quorum.ts';
import { changeConfiguration } from '../../raft/core/confchange.ts';
import { jointVote } from '../../raft/core/quorum.ts';
import type { ConfState } from '../../raft/core/types.ts';
import { AUTOPILOT_DEFAULTS, decide } from './autopilot.ts';
import type { AutopilotInput, AutopilotMember, MembershipAction } from './autopilot.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const NOW_MS = 1_000_000_000;
const LONG_AGO_MS = NOW_MS - 2 * AUTOPILOT_DEFAULTS.deadLearnerKeptMs;

const memberFacts = fc.record({
  votes: fc.boolean(),
  isAlive: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.boolean()),
  isCaughtUp: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.boolean()),
  isGone: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, fc.boolean()),
  zone: fc.constantFrom('a', 'a', 'b', 'c', null),
  forMs: fc.constantFrom(0, 5000, 60_000, 400_000, NOW_MS - LONG_AGO_MS),
  /** Of the member before it: its node had another disk then. */
  sharesName: fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0),
});

/** The first member leads and votes. */
const cluster = fc
  .record({
    members: fc.array(memberFacts, { minLength: 1, maxLength: 12 }),
    targetVoters: fc.constantFrom(3, 5, 7),
    learnersKept: fc.constantFrom(0, 1, 3, 20),
  })
  .map(({ members, ...settings }): AutopilotInput => {
    const named = members.map(({ votes, forMs, sharesName, ...facts }, at): AutopilotMember => {
      const isLeader = at === 0;
      const name = sharesName && at > 1 ? `n${at}` : `n${at + 1}`;
      // One disk of a node lives at a time.
      const dead = members[at + 1]?.sharesName === true ? { isAlive: false } : {};
      const leads = isLeader ? { isAlive: true, isCaughtUp: true, isGone: false } : {};
      const votesNow = { incoming: isLeader || votes, outgoing: false };
      return {
        id: at + 1,
        name,
        ...facts,
        ...votesNow,
        ...dead,
        ...leads,
        sinceMs: NOW_MS - forMs,
        isLeader,
      };
    });
    return {
      ...AUTOPILOT_DEFAULTS,
      ...settings,
      nowMs: NOW_MS,
      isChangeUnderWay: false,
      members: named,
    };
  });

function confStateOf(members: readonly AutopilotMember[]): ConfState {
  const ids = (votes: boolean): number[] =>
    members.filter(({ incoming }) => incoming === votes).map(({ id }) => id);
  return { voters: ids(true), votersOutgoing: [], learners: ids(false), learnersNext: [], autoLeave: false };
}

/** As Raft's own core makes the change: the configuration in between, which may be joint, and the one after. */
function changed(before: ConfState, { changes }: MembershipAction): { between: ConfState; after: ConfState } {
  const entered = changeConfiguration(before, { transition: 'auto', changes, context: new Uint8Array() });
  if (entered.type === 'refused') throw new Error(`Raft refuses the change: ${entered.reason}`);
  if (entered.confState.votersOutgoing.length === 0) {
    return { between: entered.confState, after: entered.confState };
  }
  const left = changeConfiguration(entered.confState, {
    transition: 'auto',
    changes: [],
    context: new Uint8Array(),
  });
  if (left.type === 'refused') throw new Error(`Raft does not leave the joint state: ${left.reason}`);
  return { between: entered.confState, after: left.confState };
}

function withConfState(members: readonly AutopilotMember[], confState: ConfState): AutopilotMember[] {
  return members
    .filter(({ id }) => [...confState.voters, ...confState.learners].includes(id))
    .map((member) => ({ ...member, incoming: confState.voters.includes(member.id) }));
}

interface Step {
  readonly before: AutopilotInput;
  readonly action: MembershipAction;
  /** The configuration while the change is made, which may be joint. */
  readonly between: ConfState;
  readonly after: AutopilotInput;
}

/** Carries out what is decided until nothing is. */
function settled(start: AutopilotInput): { readonly steps: readonly Step[]; readonly end: AutopilotInput } {
  const steps: Step[] = [];
  let before = start;
  while (steps.length < 50) {
    const action = decide(before);
    if (action === null) return { steps, end: before };
    const { between, after: confState } = changed(confStateOf(before.members), action);
    const after = { ...before, members: withConfState(before.members, confState) };
    steps.push({ before, action, between, after });
    before = after;
  }
  throw new Error('the autopilot does not come to an end');
}

/** All that happens, now and after every grace time is over. */
function settledForGood(start: AutopilotInput): {
  readonly steps: readonly Step[];
  readonly end: AutopilotInput;
} {
  const now = settled(start);
  const later = settled(afterwards(now.end));
  return { steps: [...now.steps, ...later.steps], end: later.end };
}

function afterwards(input: AutopilotInput): AutopilotInput {
  return { ...input, nowMs: input.nowMs + 2 * AUTOPILOT_DEFAULTS.deadLearnerKeptMs };
}

function livingFit(members: readonly AutopilotMember[]): AutopilotMember[] {
  return members.filter(
    ({ isAlive, isGone, isCaughtUp, incoming }) => isAlive && !isGone && (incoming || isCaughtUp),
  );
}

function votersOf({ members }: AutopilotInput): AutopilotMember[] {
  return members.filter(({ incoming }) => incoming);
}

/** The sum of the squares of the numbers of voters by zone; members without one stand alone. */
function crowding(voters: readonly AutopilotMember[]): number {
  const zones = Map.groupBy(voters, ({ zone, id }) => zone ?? String(id));
  return [...zones.values()].reduce((sum, { length }) => sum + length ** 2, 0);
}

/** What every action brings down, in lexicographic order. */
function disorder(input: AutopilotInput): number[] {
  const voters = votersOf(input);
  const dead = voters.filter(({ isAlive, isGone }) => !isAlive || isGone);
  const { targetVoters, members } = input;
  return [
    Math.max(0, voters.length - targetVoters),
    dead.length,
    Math.max(0, targetVoters - voters.length),
    crowding(voters),
    members.length,
  ];
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

/** Whoever never comes back counts as dead, also where it is still heard of. */
function judged(members: readonly AutopilotMember[]): AutopilotMember[] {
  return members.map((one) => ({ ...one, isAlive: one.isAlive && !one.isGone }));
}

describe('the autopilot, given anything', () => {
  it('never lets the living lose their majority, nor their tolerance of failures', () => {
    fc.assert(
      fc.property(cluster, (start) => {
        for (const { before, between, after } of settledForGood(start).steps) {
          const { targetVoters } = before;
          const members = judged(before.members);
          const living = new Set(members.filter(({ isAlive }) => isAlive).map(({ id }) => id));
          expect(jointVote(between, (id) => living.has(id))).toBe('won');
          const halves = members.map((member) => ({
            ...member,
            incoming: between.voters.includes(member.id),
            outgoing: between.votersOutgoing.includes(member.id),
          }));
          const tolerance = Math.min(failureTolerance(members), (targetVoters - 1) / 2);
          expect(failureTolerance(halves)).toBeGreaterThanOrEqual(tolerance);
          expect(failureTolerance(judged(after.members))).toBeGreaterThanOrEqual(tolerance);
          const kept = Math.min(votersOf(before).length, targetVoters);
          expect(between.voters.length).toBeGreaterThanOrEqual(kept);
        }
      }),
      { numRuns: runs(1000) },
    );
  });

  it('brings disorder down with every action, so that it comes to an end', () => {
    fc.assert(
      fc.property(cluster, (start) => {
        for (const { before, after } of settledForGood(start).steps) {
          expect(compare(disorder(after), disorder(before))).toBeLessThan(0);
        }
      }),
      { numRuns: runs(1000) },
    );
  });

  it('moves nobody there and back while who lives stays the same', () => {
    fc.assert(
      fc.property(cluster, (start) => {
        const moves = new Map<number, string[]>();
        for (const { action } of settled(start).steps) {
          for (const { type, id } of action.changes) moves.set(id, [...(moves.get(id) ?? []), type]);
        }
        const ways = ['addVoter', 'addLearner', 'remove', 'addLearner,remove'];
        for (const way of moves.values()) expect(ways).toContain(way.join(','));
      }),
      { numRuns: runs(1000) },
    );
  });

  it('ends with all voters that the living allow, spread as evenly as an exchange can make them', () => {
    fc.assert(
      fc.property(cluster, (start) => {
        fc.pre(quorumMargin(judged(start.members)) >= 0);
        const { end } = settled(afterwards({ ...start, learnersKept: 20 }));
        const fit = livingFit(end.members);
        const voters = votersOf(end);
        const living = voters.filter((voter) => fit.includes(voter));
        expect(living.length).toBe(Math.min(fit.length, end.targetVoters));
        if (living.length < end.targetVoters) return;
        expect(voters).toEqual(living);
        for (const leaver of voters.filter(({ isLeader, zone }) => !isLeader && zone !== null)) {
          for (const learner of fit.filter(({ incoming, zone }) => !incoming && zone !== null)) {
            const exchanged = [...voters.filter((voter) => voter !== leaver), learner];
            expect(crowding(exchanged)).toBeGreaterThanOrEqual(crowding(voters));
          }
        }
      }),
      { numRuns: runs(1000) },
    );
  });

  it('does nothing about deaths shorter than the grace time, once the number of voters is right', () => {
    const blip = fc.record({ who: fc.nat({ max: 11 }), forMs: fc.nat({ max: 299_999 }) });
    fc.assert(
      fc.property(cluster, fc.array(blip, { minLength: 1, maxLength: 20 }), (start, blips) => {
        let input = settled(afterwards({ ...start, learnersKept: 20 })).end;
        fc.pre(votersOf(input).length === input.targetVoters);
        const steady = input.members;
        for (const { who, forMs } of blips) {
          const nowMs = input.nowMs + forMs;
          const dying = steady[who % steady.length];
          const members = steady.map((member) =>
            member === dying && !member.isLeader && member.isAlive
              ? { ...member, isAlive: false, isCaughtUp: false, sinceMs: input.nowMs }
              : member,
          );
          expect(decide({ ...input, nowMs, members })).toBeNull();
          input = { ...input, nowMs };
        }
      }),
      { numRuns: runs(1000) },
    );
  });
});
