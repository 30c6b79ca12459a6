/**
 * Majorities, single and joint (Raft dissertation, section 4.3): while two configurations overlap, both must agree.
 * An empty configuration agrees with everything, so that it never decides alone.
 */
import type { ConfState, RaftId } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The highest index that a majority of `voters` has acknowledged; infinite for an empty configuration. */
function majorityCommitted(voters: readonly RaftId[], matchOf: (id: RaftId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const matches = voters.map(matchOf).sort((a, b) => b - a);
  return matches[Math.floor(voters.length / 2)] ?? 0;
}

/** @param voteOf undefined while the voter has not answered */
function majorityVote(voters: readonly RaftId[], voteOf: (id: RaftId) => boolean | undefined): VoteResult {
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

export type Majorities = Pick<ConfState, 'voters' | 'votersOutgoing'>;

export function jointCommitted(majorities: Majorities, matchOf: (id: RaftId) => number): number {
  const incoming = majorityCommitted(majorities.voters, matchOf);
  return Math.min(incoming, majorityCommitted(majorities.votersOutgoing, matchOf));
}

export function jointVote(majorities: Majorities, voteOf: (id: RaftId) => boolean | undefined): VoteResult {
  const incoming = majorityVote(majorities.voters, voteOf);
  const outgoing = majorityVote(majorities.votersOutgoing, voteOf);
  if (incoming === outgoing) return incoming;
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending';
}

/** Voters of either configuration, ascending. */
export function allVoters(majorities: Majorities): readonly RaftId[] {
  return ascending([...majorities.voters, ...majorities.votersOutgoing]);
}

/** Everyone who receives the log, ascending. */
export function allMembers(confState: ConfState): readonly RaftId[] {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  return ascending([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
}

function ascending(ids: readonly RaftId[]): readonly RaftId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
