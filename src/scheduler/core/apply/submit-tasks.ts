import { encodeId, MAX_POSITION } from '../../../lib/ids.ts';
import type { Outcome, SubmitTasksCommand } from '../../../model/commands.ts';
import type { Resources, TaskRow, TaskSpec } from '../../../model/task.ts';
import type { Transaction } from '../transaction.ts';
import { lacking } from '../placement/fit.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';

export interface SubmitTasksResult {
  /** In the order of the specs. */
  readonly taskIds: readonly string[];
}

/** All or nothing: one id per task, in their order. */
export function submitTasks(transaction: Transaction, command: SubmitTasksCommand): Outcome {
  if (command.tasks.length > MAX_POSITION) {
    return refuse(
      'too_many',
      `${command.tasks.length} tasks in one request; at most ${MAX_POSITION} are allowed`,
    );
  }
  return once(transaction, command.idempotency, () => {
    const taskIds = command.tasks.map((spec, position) => addTask(transaction, spec, position));
    return done<SubmitTasksResult>({ taskIds });
  });
}

function addTask(transaction: Transaction, spec: TaskSpec, position: number): string {
  const { epoch } = transaction.cluster;
  const { index } = transaction.entry;
  const id = encodeId('task', { epoch, index, position }, transaction.state.idKey);
  const task: TaskRow = {
    id,
    namespace: 'default',
    name: spec.name,
    specId: id,
    createdIndex: index,
    createdPosition: position,
    priority: spec.priority,
    resources: spec.resources,
    status: 'PENDING',
    statusReason: whyNowhere(transaction, spec.resources),
    cancelRequested: false,
    attempt: 0,
    retryCount: 0,
    consecutiveLosses: 0,
    retryAtMs: null,
    result: null,
    createdAtMs: transaction.nowMs,
    scheduledAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
    attempts: [],
  };
  transaction.put('spec', id, { id, spec });
  transaction.putTask(task);
  return id;
}

const NOTHING: Resources = { cpuMillis: 0, memoryBytes: 0 };

/**
 * A task that no node of today could hold, were it empty, is accepted, for nodes may come; it says so until it is
 * placed (docs/contract.md, section 3).
 */
function whyNowhere(transaction: Transaction, request: Resources): string | null {
  let nearest: { readonly reason: string; readonly distance: number } | null = null;
  for (const node of transaction.state.nodes.values()) {
    const miss = lacking(request, node, NOTHING);
    if (miss === null) return null;
    if (nearest === null || miss.distance < nearest.distance) nearest = miss;
  }
  return nearest === null
    ? 'no node is registered yet'
    : `no node is large enough; the nearest: ${nearest.reason}`;
}
