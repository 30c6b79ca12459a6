/** A task as it begins. */
import { needsOfTask } from '../../model/needs.ts';
import type { NodeRow } from '../../model/node.ts';
import type { TaskRow, TaskSpec } from '../../model/task.ts';
import { whyNowhere } from './placement/why-nowhere.ts';

export interface NewTask {
  readonly id: string;
  readonly specId: string;
  /** Filled in, where it is of a template. */
  readonly spec: TaskSpec;
  readonly createdIndex: number;
  readonly createdPosition: number;
  readonly createdAtMs: number;
  /** Of today: whether any of them could hold it. */
  readonly nodes: Iterable<NodeRow>;
}

export function newTask({ id, specId, spec, nodes, ...created }: NewTask): TaskRow {
  const needs = needsOfTask(spec);
  return {
    id,
    namespace: 'default',
    name: spec.name,
    specId,
    createdIndex: created.createdIndex,
    createdPosition: created.createdPosition,
    priority: spec.priority,
    resources: spec.resources,
    needs,
    status: 'PENDING',
    statusReason: whyNowhere({ resources: spec.resources, needs }, nodes),
    cancelRequested: false,
    attempt: 0,
    retryCount: 0,
    consecutiveLosses: 0,
    retryAtMs: null,
    result: null,
    createdAtMs: created.createdAtMs,
    scheduledAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
    attempts: [],
  };
}
