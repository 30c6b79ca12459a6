/** What becomes of a batch or DAG of which a person begins a single task anew. */
import type { DagRow, GroupRef } from '../../../model/group.ts';
import { groupOf } from '../../../model/group.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { dependentsOf } from './dependents.ts';
import { graphOf, groupRow, isCompleted, isDag, putGroup, withoutCompleted } from './rows.ts';

/** @returns why it cannot be begun anew by itself; null where it can */
export function whyNotAlone(transaction: Transaction, task: TaskRow): string | null {
  const ref = groupOf(task);
  if (ref === null) return null;
  const group = groupRow(transaction, ref);
  // Named by the leader with the task; where it has expired since, it is not loaded.
  if (group === null) return `its ${ref.table} is gone`;
  if (group.sweep !== null || (group.stopping !== null && group.finishedAtMs === null))
    return `${group.id} is being ${group.stopping === null ? 'begun anew' : 'stopped'} as a whole`;
  const { maxFailures, counts } = group;
  const failed = counts.PERMANENTLY_FAILED - Number(task.status === 'PERMANENTLY_FAILED');
  if (maxFailures !== null && failed > maxFailures)
    return `more than ${maxFailures} other tasks of ${group.id} failed (max_failures): begin it anew as a whole`;
  return isDag(group) ? whyNotInDag(transaction, group, task) : null;
}

/** A task of a DAG runs only while all that it depends on is completed. */
function whyNotInDag(transaction: Transaction, dag: DagRow, task: TaskRow): string | null {
  const graph = graphOf(transaction, dag.id);
  const dependencies = graph.dependencies[task.createdPosition] ?? [];
  if (dependencies.some((position) => !isCompleted(dag, position)))
    return `something that it depends on did not complete: begin ${dag.id} anew as a whole`;
  const begun = dependentsOf(graph, task.createdPosition)
    .map((position) => transaction.member(dag.id, position))
    .find((other) => other !== null && !isTerminal(other.status) && other.status !== 'WAITING');
  return begun === undefined ? null : `${begun?.id}, which depends on it, is ${begun?.status}`;
}

/** It is not over any more, and whatever has stopped it goes for this task no longer; for the others it is remembered. */
export function reopenGroup(transaction: Transaction, task: TaskRow): void {
  const ref: GroupRef | null = groupOf(task);
  const group = ref === null ? null : groupRow(transaction, ref);
  if (ref === null || group === null) return;
  const stopped = group.stopping === 'failures' ? ({ stoppedBefore: 'failures' } as const) : {};
  const open = { ...group, ...stopped, finishedAtMs: null, stopping: null, statusReason: null };
  if (!isDag(open)) {
    putGroup(transaction, ref, open);
    return;
  }
  putGroup(transaction, ref, { ...open, completed: withoutCompleted(open.completed, task.createdPosition) });
  // Memory gave it up when the DAG was over.
  if (group.finishedAtMs !== null) transaction.put('graph', group.id, { ...graphOf(transaction, group.id) });
}
