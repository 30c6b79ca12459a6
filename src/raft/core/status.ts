import type { Member } from './member.ts';
import type { ProgressState } from './progress.ts';
import type { ConfState, RaftId, Role } from './types.ts';

export interface ProgressStatus {
  readonly id: RaftId;
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly inflight: number;
  readonly recentActive: boolean;
  readonly pendingSnapshot: number;
}

export interface RaftStatus {
  readonly id: RaftId;
  readonly role: Role;
  readonly term: number;
  readonly vote: RaftId;
  readonly leader: RaftId;
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly confState: ConfState;
  readonly transferTarget: RaftId;
  /** Of every member, as this leader sees it; empty elsewhere. */
  readonly progress: readonly ProgressStatus[];
}

export function statusOf(member: Member): RaftStatus {
  const { id, role, term, vote, leader, log, confState, transferTarget } = member;
  const progress = role === 'leader' ? [...member.progress] : [];
  return {
    id,
    role,
    term,
    vote,
    leader,
    commit: log.committed,
    applied: log.applied,
    lastIndex: log.lastIndex,
    durableIndex: log.durable,
    confState,
    transferTarget,
    progress: progress.map(([peer, { match, next, state, inflight, recentActive, pendingSnapshot }]) => ({
      id: peer,
      match,
      next,
      state,
      inflight,
      recentActive,
      pendingSnapshot,
    })),
  };
}
