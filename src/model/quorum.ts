/**
 * How far a set of voters is from losing its majority (Raft dissertation, section 4.3): in a joint configuration both
 * the one that is being left and the one that is being entered must keep theirs.
 */

/** A member as majorities see it. A learner votes in neither half. */
export interface VotingMember {
  /** Votes in the configuration that stays: the only one, or the incoming half of a joint one. */
  readonly incoming: boolean;
  /** Votes in the half that is being left; false everywhere outside a joint configuration. */
  readonly outgoing: boolean;
  readonly isAlive: boolean;
}

/** Living voters beyond a majority, of the half that has fewer of them; negative where a majority is lost. */
export function quorumMargin(members: readonly VotingMember[]): number {
  const incoming = marginOf(members.filter((member) => member.incoming));
  const leaving = members.filter((member) => member.outgoing);
  return leaving.length === 0 ? incoming : Math.min(incoming, marginOf(leaving));
}

/** How many more voters may fail, whichever they are, before no majority lives; 0 also where none lives already. */
export function failureTolerance(members: readonly VotingMember[]): number {
  return Math.max(0, quorumMargin(members));
}

function marginOf(voters: readonly VotingMember[]): number {
  const living = voters.filter(({ isAlive }) => isAlive).length;
  return living - (Math.floor(voters.length / 2) + 1);
}
