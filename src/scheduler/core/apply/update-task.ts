import type { Outcome, UpdateTaskCommand } from '../../../model/commands.ts';
import { labelsOf } from '../../../model/earlier-rows.ts';
import { isWaiting } from '../../../model/phases.ts';
import type { TaskRow } from '../../../model/task.ts';
import { limits } from '../../../lib/limits.ts';
import { waitOf } from '../new-task.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { labelled } from './label-node.ts';
import { done, refuse } from './outcomes.ts';

export interface UpdateTaskResult {
  readonly taskId: string;
}

/** While a task waits for its turn: its spec stays what was submitted, the row says what has changed since. */
export function updateTask(transaction: Transaction, command: UpdateTaskCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const task = transaction.task(command.taskId);
    if (task === null) return refuse('not_found', `there is no task ${command.taskId}`);
    if (!isWaiting(task.status))
      return refuse(
        'conflict',
        `${task.id} is ${task.status}: it can be changed only while it waits for its turn`,
      );
    const { priority, labels, notBeforeMs } = command.changes;
    const changed: TaskRow = {
      ...task,
      priority: priority ?? task.priority,
      ...(labels === undefined
        ? {}
        : { labels: labelled(labelsOf(task, transaction.spec(task).spec), labels) }),
      ...(notBeforeMs === undefined ? {} : waiting(task, notBeforeMs, transaction.nowMs)),
    };
    if ((changed.labels?.length ?? 0) > limits.labels)
      return refuse(
        'conflict',
        `${task.id} would have ${changed.labels?.length} labels: at most ${limits.labels}`,
      );
    transaction.putTask(changed);
    return done<UpdateTaskResult>({ taskId: task.id });
  });
}

/** What waits for something else, such as its next try, waits for that time, too, once it is PENDING. */
function waiting({ status }: TaskRow, notBeforeMs: number | null, nowMs: number): Partial<TaskRow> {
  const { waitsUntilMs = null } = status === 'PENDING' ? waitOf(notBeforeMs, nowMs) : {};
  return { notBeforeMs, waitsUntilMs };
}
