import type { CancelTaskCommand, Outcome } from '../../../model/commands.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { move } from './task-changes.ts';

export interface CancelTaskResult {
  readonly taskId: string;
}

/** What waits is CANCELLED at once; what may run is so only once its node has said that nothing of it does. */
export function cancelTask(transaction: Transaction, command: CancelTaskCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const task = transaction.task(command.taskId);
    if (task === null) return refuse('not_found', `there is no task ${command.taskId}`);
    const result: CancelTaskResult = { taskId: task.id };
    if (task.status === 'CANCELLED' || task.cancelRequested) return done(result);
    if (isTerminal(task.status)) return refuse('conflict', `${task.id} is ${task.status} already`);
    if (task.status === 'ASSIGNED' || task.status === 'RUNNING') {
      transaction.putTask({ ...task, cancelRequested: true, statusReason: 'stopping' });
    } else {
      transaction.putTask(move(task, 'CANCELLED', { finishedAtMs: transaction.nowMs, retryAtMs: null }));
    }
    return done(result);
  });
}
