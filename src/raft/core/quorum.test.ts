import {
  array,
  assert,
  constantFrom,
  dictionary,
  integer,
  nat,
  property,
  record,
  uniqueArray,
} from 'fast-check';
import { describe, expect, it } from 'vitest';

import { jointCommitted, jointVote, type Majorities } from './quorum.ts';

const ids = uniqueArray(integer({ min: 1, max: 7 }), { maxLength: 7 });
const majorities = record({ voters: ids, votersOutgoing: ids });

/** By definition: more than half of each configuration that is not empty. */
function isQuorum({ voters, votersOutgoing }: Majorities, members: ReadonlySet<number>): boolean {
  return [voters, votersOutgoing].every(
    (half) => half.length === 0 || half.filter((id) => members.has(id)).length * 2 > half.length,
  );
}

describe('a joint majority', () => {
  it('has committed the highest index that a quorum has acknowledged', () => {
    assert(
      property(majorities, array(nat(9), { minLength: 8, maxLength: 8 }), (both, matches) => {
        const committed = jointCommitted(both, (id) => matches[id] ?? 0);
        const highest = Array.from({ length: 10 }, (_, index) => index).findLast((index) =>
          isQuorum(both, new Set([1, 2, 3, 4, 5, 6, 7].filter((id) => (matches[id] ?? 0) >= index))),
        );
        const isEmpty = both.voters.length + both.votersOutgoing.length === 0;
        expect(committed).toBe(isEmpty ? Number.POSITIVE_INFINITY : highest);
      }),
    );
  });

  it('has decided a vote when what is missing cannot change it', () => {
    assert(
      property(
        majorities,
        dictionary(constantFrom('1', '2', '3', '4', '5'), constantFrom(true, false)),
        (both, votes) => {
          const voteOf = (id: number): boolean | undefined => votes[String(id)];
          const everyone = [...both.voters, ...both.votersOutgoing];
          const granted = new Set(everyone.filter((id) => voteOf(id) === true));
          const possible = new Set(everyone.filter((id) => voteOf(id) !== false));
          const expected = isQuorum(both, granted) ? 'won' : isQuorum(both, possible) ? 'pending' : 'lost';
          expect(jointVote(both, voteOf)).toBe(expected);
        },
      ),
    );
  });
});
