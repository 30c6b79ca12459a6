/** The heads of the queue as state: who is overtaken, since when, and which nodes are kept for it (`placement/heads.ts`). */
import { limits } from '../../../lib/limits.ts';
import type { QueueHead } from '../../../model/cluster.ts';
import type { Outcome, ReserveNodesCommand } from '../../../model/commands.ts';
import { waitsUntilOf } from '../../../model/earlier-rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import { compareInQueue, headsOf, nodesDue } from '../placement/heads.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';

export interface ReserveNodesResult {
  readonly reserved: readonly string[];
}

interface Queued {
  readonly head: QueueHead;
  readonly task: TaskRow;
}

/** A task has been overtaken: it is a head from now on, unless it is so already. Those behind it go on with their wait. */
export function noteOvertaken(transaction: Transaction, taskId: string): void {
  const heads = headsOf(transaction.cluster);
  if (heads.some((head) => head.taskId === taskId)) return;
  const head: QueueHead = { taskId, sinceMs: transaction.nowMs, nodes: [] };
  const [noted] = queuedOf(transaction, [head]);
  if (noted === undefined) return;
  putHeads(transaction, bounded([...queuedOf(transaction, heads), noted], noted));
}

/**
 * After each command: who is not in the queue any more is no head of it, and nothing is kept for it. Where a priority
 * was changed there may be too many of the same, and the order may be another.
 */
export function settleHeads(transaction: Transaction): void {
  const heads = headsOf(transaction.cluster);
  if (heads.length > 0) putHeads(transaction, bounded(queuedOf(transaction, heads), null));
}

function queuedOf(transaction: Transaction, heads: readonly QueueHead[]): readonly Queued[] {
  return heads.flatMap((head) => {
    const task = transaction.task(head.taskId);
    const isQueued = task !== null && task.status === 'PENDING' && waitsUntilOf(task) === null;
    return isQueued ? [{ head, task }] : [];
  });
}

/**
 * In the order of the queue, so many of each priority as are remembered. Never too many is the one just noted: what comes
 * before it and was not placed waits for something else than room now, and goes first; then who has waited least.
 */
function bounded(queued: readonly Queued[], noted: Queued | null): readonly Queued[] {
  const isBefore = ({ task }: Queued): boolean => noted !== null && compareInQueue(task, noted.task) < 0;
  const dearestFirst = queued.toSorted(
    (a, b) =>
      Number(b === noted) - Number(a === noted) ||
      Number(isBefore(a)) - Number(isBefore(b)) ||
      a.head.sinceMs - b.head.sinceMs ||
      compareInQueue(a.task, b.task),
  );
  const counts = new Map<TaskRow['priority'], number>();
  const left = dearestFirst.filter(({ task: { priority } }) => {
    const count = (counts.get(priority) ?? 0) + 1;
    counts.set(priority, count);
    return count <= limits.headsPerPriority;
  });
  return left.sort((a, b) => compareInQueue(a.task, b.task));
}

function putHeads(transaction: Transaction, queued: readonly Queued[]): void {
  const heads = headsOf(transaction.cluster);
  if (queued.length === heads.length && queued.every(({ head }, at) => head === heads[at])) return;
  transaction.putCluster({ heads: queued.map(({ head }) => head) });
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
