import type { Member } from './member.ts';
import type { ProgressState } from './progress.ts';
import type { ConfState, RaftId, Role } from './types.ts';

export interface ProgressStatus {
  readonly id: RaftId;
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly isLearner: boolean;
  /** Nothing is sent until an answer arrives. */
  readonly isPaused: boolean;
  /** Messages under way. */
  readonly inflight: number;
  readonly isInflightFull: boolean;
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
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly confState: ConfState;
  readonly transferTarget: RaftId;
  /** Payload proposed here and not yet applied. */
  readonly uncommittedBytes: number;
  /** Elections that it has stood in. */
  readonly elections: number;
  /** Of every member, as this leader sees it; empty elsewhere. */
  readonly progress: readonly ProgressStatus[];
}

export function statusOf(member: Member): RaftStatus {
  const { id, role, term, vote, leader, log, confState, transferTarget, uncommittedBytes, elections } =
    member;
  const progress = member.isLeader ? [...member.progress] : [];
  return {
    id,
    role,
    term,
    vote,
    leader,
    commit: log.committed,
    applied: log.applied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    durableIndex: log.durable,
    confState,
    transferTarget,
    uncommittedBytes,
    elections,
    progress: progress.map(([peer, known]) => ({
      id: peer,
      match: known.match,
      next: known.next,
      state: known.state,
      isLearner: known.isLearner,
      isPaused: known.isPaused,
      inflight: known.inflights.count,
      isInflightFull: known.inflights.isFull,
      recentActive: known.recentActive,
      pendingSnapshot: known.pendingSnapshot,
    })),
  };
}
