/** What a change of a task's row means for metrics. Pure. */
import { waitsUntilOf } from '../model/earlier-rows.ts';
import { isTerminal } from '../model/phases.ts';
import type { RowChange } from '../model/rows.ts';
import type { TaskRow, TaskStatus } from '../model/task.ts';

export type TaskChange = Extract<RowChange, { table: 'task' }>;

export interface TaskNews {
  /** It waits for a node from now on. */
  readonly isQueued: boolean;
  /** It waits for one no more, whatever became of it. */
  readonly hasLeftQueue: boolean;
  readonly isAssigned: boolean;
  /** Type of the error of an attempt that has failed, or that was lost once too often; null: none has. */
  readonly failure: string | null;
  readonly finished: TaskStatus | null;
  /** It has failed for good after more than one attempt: perhaps because there are to be no more. */
  readonly isGivenUp: boolean;
}

export function newsOf({ before, after }: TaskChange): TaskNews {
  const finished =
    after !== null && isTerminal(after.status) && before?.status !== after.status ? after.status : null;
  const waited = waits(before);
  return {
    isQueued: !waited && waits(after),
    hasLeftQueue: waited && !waits(after),
    isAssigned: after?.status === 'ASSIGNED' && before?.status !== 'ASSIGNED',
    failure: failureOf(before, after),
    finished,
    isGivenUp: finished === 'PERMANENTLY_FAILED' && (after?.retryCount ?? 0) > 0,
  };
}

/** It is in the queue: runnable, and due. */
function waits(task: TaskRow | null): boolean {
  return task?.status === 'PENDING' && waitsUntilOf(task) === null;
}

function failureOf(before: TaskRow | null, after: TaskRow | null): string | null {
  const attempt = after?.attempts.at(-1);
  if (after === null || attempt === undefined) return null;
  const earlier = before?.attempts.at(-1);
  const isKnown = earlier?.assignment === attempt.assignment && earlier.status === attempt.status;
  if (attempt.status === 'FAILED') return isKnown ? null : (attempt.error?.type ?? 'ExitCode');
  // Lost attempts are none that failed, until the task is given up for them.
  const hasFailed = after.status === 'FAILED' || after.status === 'PERMANENTLY_FAILED';
  const isLost = attempt.status === 'LOST' || attempt.status === 'CANCELLED';
  return isLost && hasFailed && before?.status !== after.status ? 'NodeLost' : null;
}
