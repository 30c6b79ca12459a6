import { notBeforeOf } from '../../model/earlier-rows.ts';
import type { TaskRow } from '../../model/task.ts';
import { keepSpec } from './groups/keep-spec.ts';
import { waitOf } from './new-task.ts';
import { whyNowhere } from './placement/why-nowhere.ts';
import type { Transaction } from './transaction.ts';

/**
 * A task that is over is as if it had just been submitted, in its old place among those of its priority. Its attempts go
 * on counting, and those that there were stay on record.
 * @param waits for others of its DAG
 */
export function beginAnew(transaction: Transaction, task: TaskRow, waits = false): void {
  keepSpec(transaction, task.specId);
  const due = waits ? null : waitOf(notBeforeOf(task), transaction.nowMs);
  transaction.putTask({
    ...withoutWait(task),
    ...due,
    status: waits ? 'WAITING' : 'PENDING',
    statusReason: waits ? null : whyNowhere(task, transaction.state.nodes.values(), transaction.cluster),
    cancelRequested: false,
    retryCount: 0,
    consecutiveLosses: 0,
    retryAtMs: null,
    result: null,
    scheduledAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
  });
}

function withoutWait(task: TaskRow): TaskRow {
  return task.waitsUntilMs === undefined ? task : { ...task, waitsUntilMs: null };
}
