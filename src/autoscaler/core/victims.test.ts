import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { runs } from '../../lib/testing/property-runs.ts';
import { chooseVictims, type LeavingCandidate, type OtherNode } from './victims.ts';

function candidate(id: string, changes: Partial<LeavingCandidate> = {}): LeavingCandidate {
  const idle = { zone: null, filling: 0, tasks: 0, createdAtMs: 0 };
  const learner = { hasCopy: true, isVoter: false, isCaughtUp: true };
  return { id, node: `node-${id}`, ...idle, ...learner, ...changes };
}

const FOUNDER: OtherNode = { zone: null, isVoter: true, isCaughtUp: true };

describe('who leaves', () => {
  it('is the emptiest first, then who has the fewest tasks, then the youngest', () => {
    const candidates = [
      candidate('full', { filling: 0.9, tasks: 1 }),
      candidate('old', { createdAtMs: 1 }),
      candidate('young', { createdAtMs: 2 }),
      candidate('busy', { tasks: 1, createdAtMs: 3 }),
    ];
    expect(chooseVictims(candidates, [FOUNDER], 3)).toEqual(['young', 'old', 'busy']);
  });

  it('is from the zone with the most nodes, of equal ones', () => {
    const candidates = [
      candidate('a', { zone: 'a' }),
      candidate('b', { zone: 'b' }),
      candidate('c', { zone: 'b' }),
    ];
    expect(chooseVictims(candidates, [], 1)).toEqual(['b']);
  });

  it('is who has no copy before any learner, and a learner before any voter', () => {
    const bare = { hasCopy: false, isCaughtUp: false };
    const candidates = [
      candidate('voter', { isVoter: true }),
      candidate('learner'),
      candidate('full', { ...bare, filling: 0.9, tasks: 3 }),
      candidate('empty', bare),
    ];
    const heir = { ...FOUNDER, isVoter: false };
    expect(chooseVictims(candidates, [FOUNDER, heir], 4)).toEqual(['empty', 'full', 'learner', 'voter']);
    // Nobody without the log takes a vote over.
    expect(chooseVictims(candidates.slice(0, 1), [{ ...heir, isCaughtUp: false }], 1)).toEqual([]);
  });

  it('is a voter only where nobody else is left, and another can take its vote', () => {
    const voter = candidate('voter', { isVoter: true });
    const busy = candidate('busy', { filling: 1, tasks: 9 });
    expect(chooseVictims([voter, busy], [FOUNDER], 1)).toEqual(['busy']);
    expect(chooseVictims([voter, busy], [FOUNDER], 2)).toEqual(['busy']);
    const heir = { ...FOUNDER, isVoter: false };
    expect(chooseVictims([voter], [FOUNDER, heir], 1)).toEqual(['voter']);
    expect(chooseVictims([voter], [FOUNDER, { ...heir, isCaughtUp: false }], 1)).toEqual([]);
  });

  it('leaves no zone without the voter that it had', () => {
    const voter = candidate('voter', { isVoter: true, zone: 'a' });
    const heir = { isVoter: false, isCaughtUp: true };
    expect(chooseVictims([voter], [{ ...heir, zone: 'b' }], 1)).toEqual([]);
    expect(chooseVictims([voter], [{ ...heir, zone: 'a' }], 1)).toEqual(['voter']);
    expect(
      chooseVictims(
        [voter],
        [
          { ...heir, zone: 'b' },
          { ...FOUNDER, zone: 'a' },
        ],
        1,
      ),
    ).toEqual(['voter']);
  });

  it('is never more than asked for, nor anyone twice, nor more voters than there are others to vote', () => {
    const use = fc.record({
      zone: fc.constantFrom('a', 'b', null),
      filling: fc.constantFrom(0, 0.5, 1),
      tasks: fc.nat({ max: 3 }),
      createdAtMs: fc.nat({ max: 3 }),
    });
    const member = fc.record({ hasCopy: fc.constant(true), isVoter: fc.boolean(), isCaughtUp: fc.boolean() });
    const bare = fc.constant({ hasCopy: false, isVoter: false, isCaughtUp: false });
    const node = fc.tuple(use, fc.oneof(member, bare)).map(([used, role]) => ({ ...used, ...role }));
    fc.assert(
      fc.property(
        fc.array(node, { maxLength: 8 }),
        fc.array(node, { maxLength: 5 }),
        fc.nat({ max: 9 }),
        (own, others, count) => {
          const candidates = own.map((one, at) => candidate(String(at), one));
          const chosen = chooseVictims(candidates, others, count);
          expect(chosen.length).toBeLessThanOrEqual(count);
          expect(new Set(chosen).size).toBe(chosen.length);
          const staying = [...others, ...candidates.filter(({ id }) => !chosen.includes(id))];
          const gone = candidates.filter(({ id, isVoter }) => isVoter && chosen.includes(id));
          const heirs = staying.filter(({ isVoter, isCaughtUp }) => !isVoter && isCaughtUp);
          expect(heirs.length).toBeGreaterThanOrEqual(gone.length);
          const left = candidates.filter(({ id }) => !chosen.includes(id));
          const hasCopyLeft = candidates.some(({ id, hasCopy }) => hasCopy && chosen.includes(id));
          expect(hasCopyLeft && left.some(({ hasCopy }) => !hasCopy)).toBe(false);
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
