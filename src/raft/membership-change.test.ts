import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { decodeConfChange, encodeConfChange } from './core/confchange-codec.ts';
import { planChange, type MembershipChange, type MembershipView } from './membership-change.ts';
import { foundingMembership, joinedIdAt } from './membership.ts';

const FOUNDERS = [1, 2, 3].map((raftId) => ({
  raftId,
  name: `n${raftId}`,
  incarnation: `i${raftId}`,
  address: `n${raftId}:1`,
}));
const NEW = { name: 'n4', incarnation: 'i4', address: 'n4:1' };

interface Scene {
  readonly dead?: readonly number[];
  readonly behind?: readonly number[];
  readonly unheard?: readonly number[];
  readonly learners?: readonly number[];
  readonly joint?: boolean;
}

function view({ dead = [], behind = [], unheard = [], learners = [], joint = false }: Scene): MembershipView {
  const founding = foundingMembership(FOUNDERS);
  const voters = founding.confState.voters.filter((id) => !learners.includes(id));
  return {
    membership: {
      ...founding,
      confState: { ...founding.confState, voters, learners, votersOutgoing: joint ? [1] : [] },
    },
    index: 20,
    isActive: (id) => !dead.includes(id),
    wasHeard: (id) => !unheard.includes(id),
    isCaughtUp: (id) => !dead.includes(id) && !behind.includes(id),
  };
}

function refusal(change: MembershipChange, scene: Scene): string {
  try {
    planChange(change, view(scene));
  } catch (error) {
    if (error instanceof JarvisError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('a node that wants to be a member', () => {
  it('becomes a learner with the id of its entry, which carries its name and address', () => {
    const change = planChange({ type: 'add', node: NEW, learnersAllowed: 20 }, view({}));
    const id = joinedIdAt(20);
    expect(change?.changes).toEqual([{ type: 'addLearner', id }]);
    const written = decodeConfChange(
      encodeConfChange(change ?? { transition: 'auto', changes: [], context: Buffer.of() }),
    );
    expect(JSON.parse(Buffer.from(written?.context ?? []).toString())).toEqual([{ raftId: id, ...NEW }]);
  });

  it('is told that it is one already', () => {
    expect(
      planChange(
        {
          type: 'add',
          node: { ...NEW, name: 'n2', incarnation: 'i2', address: 'n2:1' },
          learnersAllowed: 20,
        },
        view({}),
      ),
    ).toBeNull();
  });

  it('takes the place of who it was before it lost its disk, in one change', () => {
    const node = { name: 'n2', incarnation: 'another', address: 'n2:1' };
    expect(planChange({ type: 'add', node, learnersAllowed: 20 }, view({ dead: [2] }))?.changes).toEqual([
      { type: 'remove', id: 2 },
      { type: 'addLearner', id: joinedIdAt(20) },
    ]);
    expect(refusal({ type: 'add', node, learnersAllowed: 20 }, {})).toMatch(
      /^conflict: a member named n2 is there and answers/,
    );
  });

  it('never goes on without a log under an id that had one', () => {
    const node = { name: 'n2', incarnation: 'i2', address: 'n2:1' };
    const change = { type: 'add', node, learnersAllowed: 0, hasNoLog: true } as const;
    const anew = [
      { type: 'remove', id: 2 },
      { type: 'addLearner', id: joinedIdAt(20) },
    ];
    // A voter may have been heard by an earlier leader alone.
    expect(planChange(change, view({ dead: [2], unheard: [2] }))?.changes).toEqual(anew);
    expect(planChange(change, view({ dead: [2], learners: [2] }))?.changes).toEqual(anew);
    expect(refusal(change, {})).toMatch(
      /^conflict: member n2 has this data directory, and answers \(n2:1\): this one is a copy of it/,
    );
    // The answer that gave it the id may have been lost on the way.
    expect(planChange(change, view({ dead: [2], unheard: [2], learners: [2] }))).toBeNull();
  });

  it('is known under a new address once it says so', () => {
    const node = { name: 'n2', incarnation: 'i2', address: 'elsewhere:1' };
    expect(planChange({ type: 'add', node, learnersAllowed: 20 }, view({}))?.changes).toEqual([
      { type: 'update', id: 2 },
    ]);
  });

  it('is refused with the name or the address of another', () => {
    expect(refusal({ type: 'add', node: { ...NEW, address: 'n1:1' }, learnersAllowed: 20 }, {})).toContain(
      'the address of member n1',
    );
    expect(refusal({ type: 'add', node: { ...NEW, incarnation: 'i1' }, learnersAllowed: 20 }, {})).toContain(
      'is member n1, not n4',
    );
  });
});

describe('learners', () => {
  it('are let in up to the number that is allowed', () => {
    const scene = { learners: [3] };
    expect(refusal({ type: 'add', node: NEW, learnersAllowed: 1 }, scene)).toBe(
      'conflict: 1 of at most 1 learners are there (membership.learners): remove one first',
    );
    expect(refusal({ type: 'add', node: NEW, learnersAllowed: 2 }, scene)).toBe('accepted');
  });

  it('come back to their own place, or move, however many there are', () => {
    const lost = { name: 'n2', incarnation: 'another', address: 'n2:1' };
    expect(refusal({ type: 'add', node: lost, learnersAllowed: 0 }, { dead: [2] })).toBe('accepted');
    const moved = { name: 'n2', incarnation: 'i2', address: 'elsewhere:1' };
    expect(refusal({ type: 'add', node: moved, learnersAllowed: 0 }, {})).toBe('accepted');
  });
});

describe('a change', () => {
  it('of what is so already is none', () => {
    expect(planChange({ type: 'promote', id: 2 }, view({}))).toBeNull();
    expect(planChange({ type: 'demote', id: 3 }, view({ learners: [3] }))).toBeNull();
  });

  it('names whom it is about', () => {
    for (const type of ['promote', 'demote', 'remove'] as const)
      expect(refusal({ type, id: 9 }, {})).toBe('not_found: there is no member 9');
  });

  it('makes a voter only of who has caught up', () => {
    expect(planChange({ type: 'promote', id: 3 }, view({ learners: [3] }))?.changes).toEqual([
      { type: 'addVoter', id: 3 },
    ]);
    expect(refusal({ type: 'promote', id: 3 }, { learners: [3], behind: [3] })).toMatch(
      /n3 has not caught up/,
    );
    const changes = [
      { type: 'addVoter', id: 3 },
      { type: 'remove', id: 2 },
    ] as const;
    expect(refusal({ type: 'together', changes }, { learners: [3], behind: [3] })).toMatch(/not caught up/);
    expect(planChange({ type: 'together', changes }, view({ learners: [3], dead: [2] }))?.changes).toEqual(
      changes,
    );
  });

  it('leaves enough voters that answer', () => {
    expect(refusal({ type: 'remove', id: 2 }, { dead: [3] })).toMatch(
      /^conflict: too few of the voters .* n1, n3 \(does not answer\)$/,
    );
    expect(refusal({ type: 'remove', id: 3 }, { dead: [3] })).toBe('accepted');
    expect(refusal({ type: 'demote', id: 3 }, {})).toBe('accepted');
  });

  it('waits for the one before', () => {
    expect(refusal({ type: 'remove', id: 3 }, { joint: true })).toMatch(/^conflict: another change/);
  });
});
