import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { jointVote } from '../raft/core/quorum.ts';
import { failureTolerance, quorumMargin } from './quorum.ts';
import type { VotingMember } from './quorum.ts';
import { runs } from '../lib/testing/property-runs.ts';

/** Each character is a voter: `+` lives, `-` is dead. */
function half(text: string, incoming: boolean): VotingMember[] {
  return text.split('').map((sign) => ({ incoming, outgoing: !incoming, isAlive: sign === '+' }));
}

/** Whether a candidate would win with the votes of all that live: Raft's own count. */
function canWin(members: readonly VotingMember[]): boolean {
  const ids = members.map((_, at) => at + 1);
  const majorities = {
    voters: ids.filter((id) => members[id - 1]?.incoming),
    votersOutgoing: ids.filter((id) => members[id - 1]?.outgoing),
  };
  return jointVote(majorities, (id) => members[id - 1]?.isAlive) === 'won';
}

/** By trying every set of voters that might fail. */
function toleranceByTrying(members: readonly VotingMember[]): number {
  let tolerance = members.length;
  for (let failing = 0; failing < 2 ** members.length; failing += 1) {
    const fails = (at: number): boolean => Math.floor(failing / 2 ** at) % 2 === 1;
    const left = members.map((member, at) => ({ ...member, isAlive: member.isAlive && !fails(at) }));
    const count = members.filter((member, at) => fails(at) && member.isAlive).length;
    if (!canWin(left)) tolerance = Math.min(tolerance, count - 1);
  }
  return Math.max(0, tolerance);
}

describe('failure tolerance', () => {
  it('is that of the majority of the living', () => {
    const tolerances = ['+', '++', '+++', '++++', '+++++', '++-', '+--', '+++--', '++++++-', '---'].map(
      (text) => failureTolerance(half(text, true)),
    );
    expect(tolerances).toEqual([0, 0, 1, 1, 2, 0, 0, 0, 2, 0]);
  });

  it('is that of the weaker half of a joint configuration', () => {
    expect(failureTolerance([...half('+++++', true), ...half('++-', false)])).toBe(0);
    expect(failureTolerance([...half('+++', true), ...half('+++++', false)])).toBe(1);
  });

  it('tells a lost majority from one without reserve', () => {
    expect(quorumMargin(half('++-', true))).toBe(0);
    expect(quorumMargin(half('+--', true))).toBe(-1);
    expect(quorumMargin([...half('+++', true), ...half('+--', false)])).toBe(-1);
  });

  it('is what trying every set of failures comes to, by the count of Raft itself', () => {
    const voter = fc.record({ incoming: fc.boolean(), outgoing: fc.boolean(), isAlive: fc.boolean() });
    const first = { incoming: true, outgoing: false };
    const members = fc.tuple(fc.boolean(), fc.array(voter, { maxLength: 7 }));
    fc.assert(
      fc.property(members, ([isAlive, others]) => {
        const all = [{ ...first, isAlive }, ...others];
        expect(failureTolerance(all)).toBe(toleranceByTrying(all));
      }),
      { numRuns: runs(300) },
    );
  });
});
