import type { AttemptStatus, TaskStatus } from './task.ts';

/**
 * The one table of what may follow what; apply refuses anything else. PENDING and FAILED become COMPLETED where an
 * attempt that was given up as lost turns out to have done its work, and no newer one has been assigned.
 */
const TASK_TRANSITIONS: Readonly<Record<TaskStatus, readonly TaskStatus[]>> = {
  WAITING: ['PENDING', 'CANCELLED', 'SKIPPED'],
  PENDING: ['ASSIGNED', 'COMPLETED', 'CANCELLED'],
  ASSIGNED: ['RUNNING', 'PENDING', 'COMPLETED', 'FAILED', 'PERMANENTLY_FAILED', 'CANCELLED'],
  RUNNING: ['PENDING', 'COMPLETED', 'FAILED', 'PERMANENTLY_FAILED', 'CANCELLED'],
  FAILED: ['PENDING', 'COMPLETED', 'CANCELLED'],
  COMPLETED: [],
  PERMANENTLY_FAILED: [],
  CANCELLED: [],
  SKIPPED: [],
};

/**
 * Attempts only move to the right; one that was given up as LOST may still prove to have COMPLETED, and one that is
 * STARTING may say so again, with another note.
 */
const ATTEMPT_RANK: Readonly<Record<AttemptStatus, number>> = {
  ASSIGNED: 0,
  STARTING: 1,
  RUNNING: 2,
  COMPLETED: 3,
  FAILED: 3,
  LOST: 3,
  CANCELLED: 3,
};

export function mayTaskBecome(from: TaskStatus, to: TaskStatus): boolean {
  return TASK_TRANSITIONS[from].includes(to);
}

/** A person's `retry` begins anew what is over and did not complete: the one way back. */
export function mayBeginAnew(from: TaskStatus, to: TaskStatus): boolean {
  return isTerminal(from) && from !== 'COMPLETED' && (to === 'PENDING' || to === 'WAITING');
}

export function isTerminal(status: TaskStatus): boolean {
  return TASK_TRANSITIONS[status].length === 0;
}

/** A person may begin it anew: whatever is over, but for what a DAG has passed over, which only the DAG can begin. */
export function mayBeRetried(status: TaskStatus): boolean {
  return isTerminal(status) && status !== 'SKIPPED';
}

/** It waits for its turn: neither over nor on a node. */
export function isWaiting(status: TaskStatus): boolean {
  return status === 'WAITING' || status === 'PENDING' || status === 'FAILED';
}

export function mayAttemptBecome(from: AttemptStatus, to: AttemptStatus): boolean {
  if (from === 'STARTING' && to === 'STARTING') return true;
  return ATTEMPT_RANK[from] < ATTEMPT_RANK[to] || (from === 'LOST' && to === 'COMPLETED');
}

export function isAttemptOver(status: AttemptStatus): boolean {
  return ATTEMPT_RANK[status] === 3;
}
