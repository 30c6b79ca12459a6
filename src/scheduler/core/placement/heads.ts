/**
 * The heads of the queue: for each priority the first task that waits for room while others overtake it, and the few that
 * were so until an earlier one came back. That is borne for a bounded time of the state; then nodes are kept for it, one,
 * and one more each time the bound has passed again, until it is placed. What comes before a head in the order may use
 * them all the same, and may have one of them kept for itself, too.
 */
import { limits } from '../../../lib/limits.ts';
import type { ClusterRow, QueueHead } from '../../../model/cluster.ts';
import type { TaskRow } from '../../../model/task.ts';
import { PRIORITIES } from '../../../model/task.ts';
import type { Misfit } from './fit.ts';

/** A task by its place in the order. */
export type InQueue = Pick<TaskRow, 'id' | 'priority' | 'createdIndex' | 'createdPosition'>;

export interface QueueState {
  readonly heads: readonly QueueHead[];
  readonly tasks: ReadonlyMap<string, TaskRow>;
}

const NO_HEADS: readonly QueueHead[] = [];

export function headsOf(cluster: ClusterRow | null): readonly QueueHead[] {
  return cluster?.heads ?? NO_HEADS;
}

/** Below 0: `a` comes first. */
export function compareInQueue(a: InQueue, b: InQueue): number {
  return (
    PRIORITIES.indexOf(a.priority) - PRIORITIES.indexOf(b.priority) ||
    a.createdIndex - b.createdIndex ||
    a.createdPosition - b.createdPosition
  );
}

/** Whether a node is kept for a head that comes before the task. @returns null where it is not */
export function keptForHead(task: InQueue, node: string, { heads, tasks }: QueueState): Misfit | null {
  for (const { taskId, nodes } of heads) {
    if (taskId === task.id || !nodes.includes(node)) continue;
    const head = tasks.get(taskId);
    if (head === undefined || compareInQueue(head, task) > 0) continue;
    return { reason: `node ${node} is reserved for ${taskId}, which has waited longer`, distance: 1 };
  }
  return null;
}

/** How many nodes may be kept for it by then. */
export function nodesDue({ sinceMs }: QueueHead, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - sinceMs) / limits.overtakingMs));
}

/** When one more may be kept for it than now. */
export function nextDueMs(head: QueueHead, nowMs: number): number {
  return head.sinceMs + (nodesDue(head, nowMs) + 1) * limits.overtakingMs;
}
