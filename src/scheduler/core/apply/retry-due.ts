import type { Outcome, RetryDueCommand } from '../../../model/commands.ts';
import { notBeforeOf } from '../../../model/earlier-rows.ts';
import { waitOf } from '../new-task.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';
import { dueMsOf } from '../retry-timers.ts';
import { move } from './task-changes.ts';

export interface RetryDueResult {
  readonly queued: readonly string[];
}

/** Queues what has waited long enough, by the state's own time. */
export function retryDue(transaction: Transaction, command: RetryDueCommand): Outcome<RetryDueResult> {
  const queued: string[] = [];
  for (const taskId of command.taskIds) {
    const task = transaction.task(taskId);
    const dueMs = task === null ? null : dueMsOf(task);
    if (task === null || dueMs === null || dueMs > transaction.nowMs) continue;
    transaction.putTask(
      task.status === 'FAILED'
        ? move(task, 'PENDING', { retryAtMs: null, ...waitOf(notBeforeOf(task), transaction.nowMs) })
        : { ...task, waitsUntilMs: null },
    );
    queued.push(taskId);
  }
  return done({ queued });
}
