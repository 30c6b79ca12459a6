import { array, assert, constantFrom, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  changeConfiguration,
  enterJoint,
  leaveJoint,
  simpleChange,
  type SingleChange,
} from './confchange.ts';
import { jointVote } from './quorum.ts';
import type { ConfState } from './types.ts';
import { runs } from '../../lib/testing/property-runs.ts';

const EMPTY: ConfState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const THREE: ConfState = { ...EMPTY, voters: [1, 2, 3] };

const changes = array(
  record({
    type: constantFrom('addVoter' as const, 'addLearner' as const, 'remove' as const, 'update' as const),
    id: integer({ min: 1, max: 6 }),
  }),
  { maxLength: 8 },
);

/** Every set of members that is a quorum, of six. */
function quorums(confState: ConfState): readonly number[] {
  const sets = Array.from({ length: 64 }, (_, bits) => bits);
  return sets.filter((bits) => jointVote(confState, (id) => ((bits >> (id - 1)) & 1) === 1) === 'won');
}

describe('membership changes', () => {
  it('go through a joint configuration to where a sequence of simple ones leads', () => {
    assert(
      property(changes, (list) => {
        const joint = enterJoint(THREE, list, false);
        if (joint.type === 'refused') return;
        const left = leaveJoint(joint.confState);
        // A voter too many is added first, so that no step removes the last.
        const steps: readonly SingleChange[] = [
          { type: 'addVoter', id: 9 },
          ...list,
          { type: 'remove', id: 9 },
        ];
        let confState = THREE;
        for (const step of steps) {
          const changed = simpleChange(confState, [step]);
          if (changed.type === 'changed') confState = changed.confState;
        }
        expect(left).toMatchObject({ type: 'changed', confState });
      }),
    );
  });

  it('never let an old and a new majority decide apart (dissertation, section 4.1)', () => {
    assert(
      property(changes, (list) => {
        for (const changed of [simpleChange(THREE, list), enterJoint(THREE, list, true)]) {
          if (changed.type === 'refused') continue;
          for (const before of quorums(THREE)) {
            for (const after of quorums(changed.confState)) expect(before & after).not.toBe(0);
          }
        }
      }),
      { numRuns: runs(50) },
    );
  });

  it('take the way that their transition says', () => {
    const add = { type: 'addVoter', id: 4 } as const;
    const context = new Uint8Array();
    const one = changeConfiguration(THREE, { transition: 'auto', changes: [add], context });
    expect(one).toMatchObject({ confState: { voters: [1, 2, 3, 4], votersOutgoing: [] } });
    const two = changeConfiguration(THREE, {
      transition: 'auto',
      changes: [add, { type: 'remove', id: 1 }],
      context,
    });
    expect(two).toMatchObject({
      confState: { voters: [2, 3, 4], votersOutgoing: [1, 2, 3], autoLeave: true },
    });
    const explicit = changeConfiguration(THREE, { transition: 'explicit', changes: [add], context });
    expect(explicit).toMatchObject({ confState: { votersOutgoing: [1, 2, 3], autoLeave: false } });
    const leave = changeConfiguration(THREE, { transition: 'auto', changes: [], context });
    expect(leave).toEqual({ type: 'refused', reason: "can't leave a non-joint config" });
  });

  it('replace a member whose progress must begin anew', () => {
    const changed = simpleChange(THREE, [
      { type: 'remove', id: 2 },
      { type: 'addVoter', id: 2 },
    ]);
    const members = new Map([
      [1, 'kept'],
      [2, 'new'],
      [3, 'kept'],
    ]);
    expect(changed).toEqual({ type: 'changed', confState: THREE, members });
  });
});
