/** A task as it begins: PENDING, whatever the nodes are. */
import type { ClusterRow } from '../../model/cluster.ts';
import { notBeforeOf } from '../../model/earlier-rows.ts';
import { needsOfTask, placementOfTask } from '../../model/needs.ts';
import type { NodeRow } from '../../model/node.ts';
import type { TaskRow, TaskSpec } from '../../model/task.ts';
import { whyNowhere } from './placement/why-nowhere.ts';

export interface NewTask {
  readonly id: string;
  readonly specId: string;
  /** Filled in, where it is of a template. */
  readonly spec: TaskSpec;
  /** Where it stands in the order of submissions. */
  readonly createdIndex: number;
  readonly createdPosition: number;
  readonly createdAtMs: number;
  /** Cluster time: later than that of its submission where its row is made later. */
  readonly nowMs: number;
  /** Of today: whether any of them could hold it. */
  readonly nodes: Iterable<NodeRow>;
  readonly cluster: Pick<ClusterRow, 'version'> | null;
}

export function newTask({ id, specId, spec, nodes, cluster, nowMs, ...created }: NewTask): TaskRow {
  const needs = needsOfTask(spec);
  const placement = placementOfTask(spec);
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
    ...placement,
    ...waitOf(notBeforeOf(spec), nowMs),
    status: 'PENDING',
    statusReason: whyNowhere({ resources: spec.resources, needs, ...placement }, nodes, cluster),
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

/** Of a task that becomes PENDING, where it is not to run before some time that has not come. */
export function waitOf(notBeforeMs: number | null, nowMs: number): Pick<TaskRow, 'waitsUntilMs'> {
  return notBeforeMs !== null && notBeforeMs > nowMs ? { waitsUntilMs: notBeforeMs } : {};
}
