import { describe, expect, it } from 'vitest';

import { encodeConfChange, LEAVE_JOINT } from './core/confchange-codec.ts';
import type { SingleChange } from './core/confchange.ts';
import type { Entry } from './core/types.ts';
import { encodePeers, foundingMembership, isDecided, joinedIdAt, replayMembership } from './membership.ts';
import type { Peer } from './ports.ts';

function peer(raftId: number, name = `n${raftId}`): Peer {
  return { raftId, name, incarnation: `i${raftId}`, address: `${name}:1` };
}

function changing(index: number, changes: readonly SingleChange[], peers: readonly Peer[] = []): Entry {
  const context = peers.length === 0 ? new Uint8Array() : encodePeers(peers);
  const data = encodeConfChange({ transition: 'auto', changes, context });
  return { term: 1, index, type: 'confChange', data };
}

const FOUNDERS = [3, 1, 2].map((raftId) => peer(raftId));

describe('the membership that a cluster begins with', () => {
  it('has every founder as a voter, and nobody else', () => {
    expect(foundingMembership(FOUNDERS)).toEqual({
      index: 0,
      confState: { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
      peers: FOUNDERS,
    });
  });
});

describe('the membership after changes', () => {
  const id = joinedIdAt(7);
  const entries = [
    changing(7, [{ type: 'addLearner', id }], [peer(id, 'n4')]),
    { term: 1, index: 8, type: 'normal', data: Buffer.from('a command') } as const,
    changing(9, [
      { type: 'addVoter', id },
      { type: 'remove', id: 2 },
    ]),
    { ...changing(10, []), data: encodeConfChange(LEAVE_JOINT) },
    changing(11, [{ type: 'update', id }], [{ ...peer(id, 'n4'), address: 'moved:1' }]),
  ];

  function at(applied: number) {
    return replayMembership(foundingMembership(FOUNDERS), entries, applied);
  }

  it('knows who came, with name and address', () => {
    expect(at(6)).toMatchObject({ index: 0 });
    expect(at(8)).toMatchObject({ index: 7, confState: { voters: [1, 2, 3], learners: [id] } });
    expect(at(8).peers.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3', 'n4']);
  });

  it('forgets who went only when the joint configuration is left', () => {
    expect(at(9).peers.map(({ name }) => name)).toContain('n2');
    expect(at(10).peers.map(({ name }) => name)).toEqual(['n1', 'n3', 'n4']);
    expect(at(10).confState).toMatchObject({ voters: [1, 3, id], votersOutgoing: [] });
  });

  it('takes a new address', () => {
    expect(at(11).peers.at(-1)).toMatchObject({ name: 'n4', address: 'moved:1' });
  });

  it('is the same from wherever it is replayed', () => {
    for (let from = 6; from <= 11; from += 1) expect(replayMembership(at(from), entries, 11)).toEqual(at(11));
  });

  it('passes over what it cannot read', () => {
    const data = encodeConfChange({
      transition: 'auto',
      changes: [{ type: 'addLearner', id: 1012 }],
      context: Buffer.from('{'),
    });
    const odd = replayMembership(at(11), [{ term: 1, index: 12, type: 'confChange', data }], 12);
    expect(odd.confState.learners).toEqual([1012]);
    expect(odd.peers).toEqual(at(11).peers);
  });
});

describe('an id that a membership does not hold', () => {
  it('is one that was removed, or lies ahead', () => {
    expect(isDecided(2, 0)).toBe(true);
    expect(isDecided(joinedIdAt(7), 6)).toBe(false);
    expect(isDecided(joinedIdAt(7), 7)).toBe(true);
  });
});
