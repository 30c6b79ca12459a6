import { describe, expect, it } from 'vitest';

import { foundingMembership } from './membership.ts';

describe('the membership that a cluster begins with', () => {
  it('has every founder as a voter, and nobody else', () => {
    const founders = [3, 1, 2].map((raftId) => ({
      raftId,
      name: `n${raftId}`,
      incarnation: 'i',
      address: 'a:1',
    }));
    expect(foundingMembership(founders)).toEqual({
      confState: { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
      peers: founders,
    });
  });
});
