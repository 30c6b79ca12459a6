/** Members with their names and addresses, beside the core's bare ids; travels in snapshots and identity files. */
import type { ConfState } from './core/types.ts';
import type { Peer } from './ports.ts';

export interface Membership {
  readonly confState: ConfState;
  readonly peers: readonly Peer[];
}

/** The membership with which a cluster begins: every founder votes (docs/storage.md, "Who is who"). */
export function foundingMembership(founders: readonly Peer[]): Membership {
  const voters = founders.map((founder) => founder.raftId).sort((a, b) => a - b);
  return {
    confState: { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    peers: founders,
  };
}
