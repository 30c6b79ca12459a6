import type { GroupRow } from '../../../model/group.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import { move } from '../apply/task-changes.ts';
import type { Transaction } from '../transaction.ts';

/** As when a person cancels the task: what waits is CANCELLED at once, what may run once nothing of it does. */
export function endEarly(
  transaction: Transaction,
  task: TaskRow,
  stopping: GroupRow['stopping'] = null,
): void {
  if (isTerminal(task.status) || task.cancelRequested) return;
  if (task.status === 'ASSIGNED' || task.status === 'RUNNING') {
    transaction.putTask({ ...task, cancelRequested: true, statusReason: 'stopping' });
    return;
  }
  const statusReason = stopping === 'failures' ? 'too many tasks of its group failed' : null;
  transaction.putTask(
    move(task, 'CANCELLED', { finishedAtMs: transaction.nowMs, retryAtMs: null, statusReason }),
  );
}
