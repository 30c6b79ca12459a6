import { encodeId, MAX_POSITION } from '../../../lib/ids.ts';
import { limits } from '../../../lib/limits.ts';
import type { Outcome, Submission, SubmitManyCommand } from '../../../model/commands.ts';
import { concurrencyOf } from '../../../model/earlier-rows.ts';
import type { TaskSpec } from '../../../model/task.ts';
import { newTask } from '../new-task.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import type { Refused } from './outcomes.ts';
import { done, refuse } from './outcomes.ts';

export interface SubmitTasksResult {
  /** In the order of the specs. */
  readonly taskIds: readonly string[];
}

export interface SubmitManyResult {
  /** What each came to, in their order. */
  readonly outcomes: readonly Outcome<SubmitTasksResult>[];
}

/** All or nothing: one id per task, in their order. */
export function submitTasks(transaction: Transaction, submission: Submission): Outcome {
  return submit(transaction, submission, 0);
}

/** One that is refused leaves the others as they are: nothing is staged for it before that. */
export function submitMany(transaction: Transaction, { submissions }: SubmitManyCommand): Outcome {
  let position = 0;
  const outcomes = submissions.map((submission) => {
    const outcome = submit(transaction, submission, position);
    position += submission.tasks.length;
    return outcome as Outcome<SubmitTasksResult>;
  });
  return done<SubmitManyResult>({ outcomes });
}

/** @param first of the positions in the entry, which make the ids */
function submit(transaction: Transaction, { tasks, idempotency }: Submission, first: number): Outcome {
  if (first + tasks.length > MAX_POSITION) {
    return refuse('too_many', `${first + tasks.length} tasks at once; at most ${MAX_POSITION} are allowed`);
  }
  return once(transaction, idempotency, () => {
    const refusal = queueIsFull(transaction, first + tasks.length) ?? otherMaximum(transaction, tasks);
    if (refusal !== null) return refusal;
    const taskIds = tasks.map((spec, at) => addTask(transaction, spec, first + at));
    return done<SubmitTasksResult>({ taskIds });
  });
}

/** @param count how many tasks the command has to wait so far, new or begun anew */
export function queueIsFull(transaction: Transaction, count: number): Refused | null {
  const { queuedCount } = transaction.state;
  if (queuedCount + count <= limits.queuedTasks) return null;
  return refuse(
    'too_many',
    `${queuedCount} tasks wait already, and at most ${limits.queuedTasks} may: try again when some of them run`,
  );
}

/** All open tasks of a concurrency key have the same maximum; also those that the same entry has brought before. */
export function otherMaximum(
  transaction: Transaction,
  tasks: Iterable<Pick<TaskSpec, 'concurrency'>>,
): Refused | null {
  for (const spec of tasks) {
    const concurrency = concurrencyOf(spec);
    if (concurrency === null) continue;
    const { key, max } = concurrency;
    const known = transaction.state.keyUse(key)?.max ?? transaction.newMaxima.get(key) ?? max;
    if (known !== max)
      return refuse(
        'conflict',
        `concurrency key ${key} has the maximum ${known} in tasks that are open, not ${max}: it must be the same, or the key another`,
      );
  }
  return null;
}

function addTask(transaction: Transaction, spec: TaskSpec, position: number): string {
  const { epoch } = transaction.cluster;
  const { index } = transaction.entry;
  const id = encodeId('task', { epoch, index, position }, transaction.state.idKey);
  const task = newTask({
    id,
    specId: id,
    spec,
    createdIndex: index,
    createdPosition: position,
    createdAtMs: transaction.nowMs,
    nowMs: transaction.nowMs,
    nodes: transaction.state.nodes.values(),
    cluster: transaction.cluster,
  });
  const concurrency = concurrencyOf(spec);
  if (concurrency !== null) transaction.newMaxima.set(concurrency.key, concurrency.max);
  transaction.put('spec', id, { id, spec });
  transaction.putTask(task);
  return id;
}
