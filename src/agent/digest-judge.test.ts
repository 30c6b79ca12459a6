import { assert, array, constantFrom, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { findDifference, judgeDigests, type Replica } from './digest-judge.ts';

function replica(id: number, digests: Readonly<Record<number, string>>): Replica {
  return {
    id,
    samples: Object.entries(digests).map(([index, digest]) => ({ index: Number(index), digest })),
  };
}

describe('the judgement on digests', () => {
  it('finds agreement at the newest index that a majority has reached', () => {
    const own = replica(1, { 64: 'a', 128: 'b', 192: 'c' });
    const verdict = judgeDigests(
      own,
      [replica(2, { 64: 'a', 128: 'b' }), replica(3, { 64: 'a' })],
      [1, 2, 3],
    );
    expect(verdict).toEqual({ type: 'agrees', index: 128 });
  });

  it('finds this replica in the minority', () => {
    const others = [replica(2, { 64: 'a' }), replica(3, { 64: 'a' })];
    expect(judgeDigests(replica(1, { 64: 'x' }), others, [1, 2, 3])).toEqual({
      type: 'minority',
      index: 64,
      own: 'x',
      majority: 'a',
    });
  });

  it('finds a learner in it, too, whose own digest does not count', () => {
    const others = [replica(1, { 64: 'a' }), replica(2, { 64: 'a' })];
    expect(judgeDigests(replica(9, { 64: 'x' }), others, [1, 2, 3])).toMatchObject({ type: 'minority' });
    const learners = [replica(8, { 64: 'x' }), replica(1, { 64: 'a' })];
    expect(judgeDigests(replica(9, { 64: 'x' }), learners, [1, 2, 3])).toEqual({ type: 'unknown' });
  });

  it('says nothing while too few have answered', () => {
    expect(judgeDigests(replica(1, { 64: 'x' }), [replica(2, { 64: 'a' })], [1, 2, 3])).toEqual({
      type: 'unknown',
    });
    expect(judgeDigests(replica(1, {}), [replica(2, { 64: 'a' })], [1, 2, 3])).toEqual({ type: 'unknown' });
  });

  it('knows when nobody can be right', () => {
    const others = [replica(2, { 64: 'a' }), replica(3, { 64: 'b' })];
    expect(judgeDigests(replica(1, { 64: 'x' }), others, [1, 2, 3])).toMatchObject({
      type: 'split',
      index: 64,
    });
    expect(judgeDigests(replica(1, { 64: 'x' }), [replica(2, { 64: 'a' })], [1, 2])).toMatchObject({
      type: 'split',
    });
  });

  it('shows a difference however few have answered', () => {
    const own = replica(1, { 64: 'x', 128: 'y', 192: 'z' });
    expect(findDifference([own, replica(2, { 64: 'a', 128: 'b' })])).toEqual({
      index: 128,
      digests: new Map([
        [1, 'y'],
        [2, 'b'],
      ]),
    });
    expect(findDifference([own, replica(2, { 64: 'x', 128: 'y' }), replica(3, { 64: 'a' })])?.index).toBe(64);
    expect(findDifference([own, replica(2, { 64: 'x', 256: 'a' })])).toBeNull();
    expect(findDifference([own])).toBeNull();
  });

  it('stops a minority at most, whatever the replicas say', () => {
    const digests = record({ 64: constantFrom('a', 'b', 'c'), 128: constantFrom('a', 'b') });
    const replicas = integer({ min: 1, max: 7 }).chain((size) =>
      array(digests, { minLength: size, maxLength: size }),
    );
    assert(
      property(replicas, (all) => {
        const members = all.map((samples, at) => replica(at + 1, samples));
        const voters = members.map(({ id }) => id);
        const stopped = members.filter(
          (own) =>
            judgeDigests(
              own,
              members.filter((other) => other !== own),
              voters,
            ).type === 'minority',
        );
        return stopped.length <= Math.floor((voters.length - 1) / 2);
      }),
    );
    expect(judgeDigests(replica(1, { 64: 'a' }), [], [1])).toEqual({ type: 'agrees', index: 64 });
  });
});
