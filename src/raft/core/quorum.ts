/**
 * Majorities, single and joint (Raft dissertation, section 4.3): while two configurations overlap, both must agree.
 * An empty configuration agrees with everything, so that it never decides alone.
 */
import type { ConfState, RaftId } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The highest index that a majority of `voters` has acknowledged; infinite for an empty configuration. */
export function majorityCommitted(voters: readonly RaftId[], matchOf: (id: RaftId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const matches = voters.map(matchOf).sort((a, b) => b - a);
  return matches[Math.floor(voters.length / 2)] ?? 0;
}

/** @param voteOf undefined while the voter has not answered */
export function majorityVote(
  voters: readonly RaftId[],
  voteOf: (id: RaftId) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = voteOf(id);
    if (vote === undefined) missing += 1;
    else if (vote) granted += 1;
  }
  const needed = Math.floor(voters.length / 2) + 1;
  if (granted >= needed) return 'won';
  return granted + missing >= needed ? 'pending' : 'lost';
}

export function jointCommitted(confState: ConfState, matchOf: (id: RaftId) => number): number {
  const incoming = majorityCommitted(confState.voters, matchOf);
  return Math.min(incoming, majorityCommitted(confState.votersOutgoing, matchOf));
}

export function jointVote(confState: ConfState, voteOf: (id: RaftId) => boolean | undefined): VoteResult {
  const incoming = majorityVote(confState.voters, voteOf);
  const outgoing = majorityVote(confState.votersOutgoing, voteOf);
  if (incoming === outgoing) return incoming;
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending';
}

/** Voters of either configuration, ascending. */
export function allVoters(confState: ConfState): readonly RaftId[] {
  return [...new Set([...confState.voters, ...confState.votersOutgoing])].sort((a, b) => a - b);
}

/** Everyone who receives the log, ascending. */
export function allMembers(confState: ConfState): readonly RaftId[] {
  const { learners, learnersNext } = confState;
  return [...new Set([...allVoters(confState), ...learners, ...learnersNext])].sort((a, b) => a - b);
}
