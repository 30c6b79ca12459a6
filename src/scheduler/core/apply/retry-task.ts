import type { Outcome, RetryTaskCommand } from '../../../model/commands.ts';
import { isTerminal, mayBeRetried } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import { beginAnew } from '../begin-anew.ts';
import { reopenGroup, whyNotAlone } from '../groups/reopen.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { otherMaximum, queueIsFull } from './submit-tasks.ts';

export interface RetryTaskResult {
  readonly taskId: string;
}

/**
 * Begins a task anew that is over, with all the retries of its policy, in its old place among those of its priority. Its
 * attempts go on counting, and those that there were stay on record.
 */
export function retryTask(transaction: Transaction, command: RetryTaskCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const task = transaction.task(command.taskId);
    if (task === null) return refuse('not_found', `there is no task ${command.taskId}`);
    if (!mayBeRetried(task.status)) return refuse('conflict', whyNot(task));
    // The leader names it from the same row; where that is another one, or it has expired, it is not loaded.
    const spec = transaction.get('spec', task.specId);
    if (spec === null) return refuse('conflict', `${task.id} cannot be begun anew: its spec is gone`);
    const unfit = queueIsFull(transaction, 1) ?? otherMaximum(transaction, [task]);
    if (unfit !== null) return unfit;
    const refusal = whyNotAlone(transaction, task);
    if (refusal !== null) return refuse('conflict', `${task.id} cannot be begun anew: ${refusal}`);
    reopenGroup(transaction, task);
    beginAnew(transaction, task);
    return done<RetryTaskResult>({ taskId: task.id });
  });
}

function whyNot({ id, status }: TaskRow): string {
  if (isTerminal(status)) return `${id} is ${status}: only with its DAG can it be begun anew`;
  return `${id} is ${status}: only what is over can be begun anew`;
}
