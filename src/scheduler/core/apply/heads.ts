/** The heads of the queue as state: who is overtaken, since when, and which nodes are kept for it (`placement/heads.ts`). */
import type { Outcome, ReserveNodesCommand } from '../../../model/commands.ts';
import { waitsUntilOf } from '../../../model/earlier-rows.ts';
import { compareInQueue, headsOf, nodesDue } from '../placement/heads.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';

export interface ReserveNodesResult {
  readonly reserved: readonly string[];
}

/** A task has been overtaken: of its priority it is the head from now on, unless it is so already. */
export function noteOvertaken(transaction: Transaction, taskId: string): void {
  const heads = headsOf(transaction.cluster);
  if (heads.some((head) => head.taskId === taskId)) return;
  const task = transaction.task(taskId);
  if (task === null || task.status !== 'PENDING' || waitsUntilOf(task) !== null) return;
  const others = heads.flatMap((head) => {
    const other = transaction.task(head.taskId);
    return other === null || other.priority === task.priority ? [] : [{ head, other }];
  });
  const all = [...others, { head: { taskId, sinceMs: transaction.nowMs, nodes: [] }, other: task }];
  all.sort((a, b) => compareInQueue(a.other, b.other));
  transaction.putCluster({ heads: all.map(({ head }) => head) });
}

/**
 * After each command: who is not in the queue any more is no head of it, and nothing is kept for it. Where a priority
 * was changed there may be two of the same: the first in the order stays.
 */
export function settleHeads(transaction: Transaction): void {
  const heads = headsOf(transaction.cluster);
  if (heads.length === 0) return;
  const queued = heads.flatMap((head) => {
    const task = transaction.task(head.taskId);
    const isQueued = task !== null && task.status === 'PENDING' && waitsUntilOf(task) === null;
    return isQueued ? [{ head, task }] : [];
  });
  queued.sort((a, b) => compareInQueue(a.task, b.task));
  const left = queued.filter(({ task }, at) => task.priority !== queued[at - 1]?.task.priority);
  if (left.length === heads.length && left.every(({ head }, at) => head === heads[at])) return;
  transaction.putCluster({ heads: left.map(({ head }) => head) });
}

/** Whoever decided it has looked whether the nodes suit; what apply guards is that the head has waited long enough. */
export function reserveNodes(
  transaction: Transaction,
  command: ReserveNodesCommand,
): Outcome<ReserveNodesResult> {
  const heads = headsOf(transaction.cluster);
  const head = heads.find(({ taskId }) => taskId === command.taskId);
  if (head === undefined) return done({ reserved: [] });
  const nodes = command.nodes
    .filter((name) => transaction.get('node', name) !== null)
    .slice(0, nodesDue(head, transaction.nowMs));
  transaction.putCluster({ heads: heads.map((one) => (one === head ? { ...one, nodes } : one)) });
  return done({ reserved: nodes });
}
