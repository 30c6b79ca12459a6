/** Rows of tasks that are not submitted, as they would be made: for plans. */
import { sizeOfWork } from '../model/batch-work.ts';
import type { BatchRow, DagRow, GroupRow } from '../model/group.ts';
import { NO_COUNTS } from '../model/group.ts';
import type { TaskRow, TaskSpec } from '../model/task.ts';
import { memberOf } from '../scheduler/core/groups/make.ts';
import { newTask } from '../scheduler/core/new-task.ts';
import type { BatchSpec } from '../spec/batch-schema.ts';
import type { DagSpec } from '../spec/dag-schema.ts';

/** When and after what they would be submitted. */
export interface PlannedAt {
  readonly index: number;
  readonly nowMs: number;
}

export function plannedTasks(specs: readonly TaskSpec[], { index, nowMs }: PlannedAt): readonly TaskRow[] {
  return specs.map((spec, position) =>
    newTask({
      id: `planned-${index}-${position}`,
      specId: '',
      spec,
      createdIndex: index,
      createdPosition: position,
      createdAtMs: nowMs,
      nowMs,
      nodes: [],
      cluster: null,
    }),
  );
}

export function plannedBatch(spec: BatchSpec, at: PlannedAt): readonly TaskRow[] {
  const { work } = spec;
  const template = work.type === 'tasks' ? null : work.template;
  const group: BatchRow = { ...groupRow(spec, sizeOfWork(work), at), isTemplate: template !== null };
  const blueprint =
    work.type === 'template'
      ? null
      : {
          specs: work.type === 'tasks' ? work.specs : null,
          parameters: work.type === 'tasks' ? null : work.parameters,
        };
  return membersOf(group, { from: 0, blueprint, template, graph: null }, at);
}

/** Those that depend on others are WAITING. */
export function plannedDag(spec: DagSpec, at: PlannedAt): readonly TaskRow[] {
  const { tasks, specs, dependencies } = spec;
  const row = groupRow(spec, tasks.length, at);
  const group: DagRow = { ...row, completed: [], due: [], dueAt: 0 };
  const graph = { id: row.id, tasks, dependencies };
  return membersOf(group, { from: 0, blueprint: { specs, parameters: null }, template: null, graph }, at);
}

function membersOf(
  group: BatchRow | DagRow,
  slice: Parameters<typeof memberOf>[1],
  { nowMs }: PlannedAt,
): readonly TaskRow[] {
  const idOf = (position: number): string => `${group.id}-${position}`;
  const options = { idOf, nodes: [], cluster: null, nowMs };
  return Array.from({ length: group.size }, (_, position) => memberOf(group, slice, position, options).task);
}

function groupRow(
  { name, maxParallel, maxFailures }: Pick<BatchSpec, 'name' | 'maxParallel' | 'maxFailures'>,
  size: number,
  { index, nowMs }: PlannedAt,
): GroupRow {
  return {
    id: `planned-${index}`,
    namespace: 'default',
    name,
    clusterId: '',
    epoch: 0,
    createdIndex: index,
    size,
    made: size,
    sliceTasks: size,
    maxParallel,
    maxFailures,
    counts: NO_COUNTS,
    status: 'PENDING',
    statusReason: null,
    stopping: null,
    sweep: null,
    createdAtMs: nowMs,
    startedAtMs: null,
    finishedAtMs: null,
  };
}
