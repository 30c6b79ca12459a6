import { notBeforeOf } from '../../model/earlier-rows.ts';
import { needsOfTask, placementOfTask } from '../../model/needs.ts';
import type { TaskRow, TaskSpec } from '../../model/task.ts';

/** A task as it is submitted: PENDING, whatever the nodes are. @param at where it stands in the order of submissions */
export function newTask(
  spec: TaskSpec,
  at: { readonly id: string; readonly index: number; readonly position: number; readonly nowMs: number },
): TaskRow {
  const { id, index, position, nowMs } = at;
  return {
    id,
    namespace: 'default',
    name: spec.name,
    specId: id,
    createdIndex: index,
    createdPosition: position,
    priority: spec.priority,
    resources: spec.resources,
    needs: needsOfTask(spec),
    ...placementOfTask(spec),
    ...waitOf(notBeforeOf(spec), nowMs),
    status: 'PENDING',
    statusReason: null,
    cancelRequested: false,
    attempt: 0,
    retryCount: 0,
    consecutiveLosses: 0,
    retryAtMs: null,
    result: null,
    createdAtMs: nowMs,
    scheduledAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
    attempts: [],
  };
}

/** Of a task that becomes PENDING, where it is not to run before some time that has not come. */
function waitOf(notBeforeMs: number | null, nowMs: number): Pick<TaskRow, 'waitsUntilMs'> {
  return notBeforeMs !== null && notBeforeMs > nowMs ? { waitsUntilMs: notBeforeMs } : {};
}
