import { encodeId, MAX_POSITION } from '../../../lib/ids.ts';
import type { Outcome, Submission, SubmitManyCommand } from '../../../model/commands.ts';
import type { TaskSpec } from '../../../model/task.ts';
import { newTask } from '../new-task.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
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
    const taskIds = tasks.map((spec, at) => addTask(transaction, spec, first + at));
    return done<SubmitTasksResult>({ taskIds });
  });
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
    nodes: transaction.state.nodes.values(),
  });
  transaction.put('spec', id, { id, spec });
  transaction.putTask(task);
  return id;
}
