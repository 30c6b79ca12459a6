/**
 * Batches and DAGs: tasks that were submitted together, all or none. A group is in the state as soon as it is accepted;
 * the rows of its tasks are made in slices after that (docs/adr/0008), in the order of their positions. What changes of
 * a group is one small row; its graph, its template and what its tasks are made of stand in rows that never change.
 */
import type { PackedSpecs } from './packed-specs.ts';
import type { Pairs, TaskRow, TaskStatus } from './task.ts';

export type GroupTable = 'batch' | 'dag';

/** PENDING: nothing of it has begun. COMPLETED: all of its tasks did. */
export type GroupStatus = 'PENDING' | 'RUNNING' | 'COMPLETED' | 'FAILED' | 'CANCELLED';

/** Of all its tasks, those whose rows are not made yet too. */
export type GroupCounts = Readonly<Record<TaskStatus, number>>;

/** A walk over the tasks of a group by position, some of them per command. */
export interface Sweep {
  /**
   * `cancel` ends what is open; `retry` begins anew whatever did not complete; `evaluate`, after it, queues what of a DAG
   * waits for nothing any more (of a batch there is no such thing: it is over with the next command).
   */
  readonly type: 'cancel' | 'retry' | 'evaluate';
  /** Position of the first task that it has not come to. */
  readonly next: number;
}

export interface GroupRow {
  readonly id: string;
  readonly namespace: 'default';
  readonly name: string;
  /** The ids of its tasks follow from these three and their positions: also where the cluster has become another one. */
  readonly clusterId: string;
  readonly epoch: number;
  /** Of the entry that submitted it. */
  readonly createdIndex: number;
  /** Of its tasks: their positions are 0 to size - 1. */
  readonly size: number;
  /** Tasks whose rows are made: those with a position below it. */
  readonly made: number;
  /** Tasks that one command makes, cancels or begins anew. */
  readonly sliceTasks: number;
  /** Of its tasks ASSIGNED or RUNNING at a time; null: no bound. */
  readonly maxParallel: number | null;
  /** One more that fails ends the rest; null: no bound. */
  readonly maxFailures: number | null;
  readonly counts: GroupCounts;
  readonly status: GroupStatus;
  readonly statusReason: string | null;
  /** Why what is left of it is ended: somebody asked for that, or too many tasks failed. */
  readonly stopping: 'cancel' | 'failures' | null;
  /**
   * What had ended the rest of it before a task of it was begun anew alone; null again once all of it is begun anew.
   * Absent: nothing has, or the row is of a version before that.
   */
  readonly stoppedBefore?: 'failures' | null;
  readonly sweep: Sweep | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
}

export interface BatchRow extends GroupRow {
  /** Its tasks share one spec, which is filled in for each ({@link TaskRow.parameters}). */
  readonly isTemplate: boolean;
}

export interface DagRow extends GroupRow {
  /** One bit per task, by position, 30 to a number: it COMPLETED. Rows of finished tasks are not in memory. */
  readonly completed: readonly number[];
  /** Positions of tasks that have ended and whose dependents have yet to be looked at, in that order. */
  readonly due: readonly number[];
  /** Dependents of the first of those that have been looked at. */
  readonly dueAt: number;
}

/** What a DAG looks like; never changes. Positions stand for tasks. */
export interface GraphRow {
  readonly id: string;
  /** The `id` of each task in its DAG. */
  readonly tasks: readonly string[];
  readonly dependencies: readonly (readonly number[])[];
}

/** What a slice of a group's tasks is made of, until they are. Key: the group's id, `/`, and the first position. */
export interface BlueprintRow {
  readonly key: string;
  /** Null: the group has a template. */
  readonly specs: PackedSpecs | null;
  /** Null: the template is filled in with the index only, or there is none. */
  readonly parameters: readonly Pairs[] | null;
}

/** The newest run of a name. */
export interface DagNameRow {
  readonly name: string;
  readonly dagId: string;
}

export interface GroupRef {
  readonly table: GroupTable;
  readonly id: string;
}

/** The group that the task belongs to. Tasks of versions before there were any say nothing of it. */
export function groupOf(task: Pick<TaskRow, 'batchId' | 'dagId'>): GroupRef | null {
  if (task.batchId !== undefined && task.batchId !== null) return { table: 'batch', id: task.batchId };
  if (task.dagId !== undefined && task.dagId !== null) return { table: 'dag', id: task.dagId };
  return null;
}

export function blueprintKey(groupId: string, from: number): string {
  return `${groupId}/${from}`;
}

const OPEN: readonly TaskStatus[] = ['WAITING', 'PENDING', 'ASSIGNED', 'RUNNING', 'FAILED'];

export const NO_COUNTS: GroupCounts = {
  WAITING: 0,
  PENDING: 0,
  ASSIGNED: 0,
  RUNNING: 0,
  COMPLETED: 0,
  FAILED: 0,
  PERMANENTLY_FAILED: 0,
  CANCELLED: 0,
  SKIPPED: 0,
};

/** Tasks that have not come to their end. */
export function openCount(counts: GroupCounts): number {
  return OPEN.reduce((sum, status) => sum + counts[status], 0);
}

/** Tasks that take one of the places of `max_parallel`. */
export function activeCount({ counts }: Pick<GroupRow, 'counts'>): number {
  return counts.ASSIGNED + counts.RUNNING;
}

/** Whether something is left to do of it that no task brings about: rows to make, a sweep, dependents to look at. */
export function hasWork(group: GroupRow): boolean {
  return group.made < group.size || group.sweep !== null || dueOf(group).length > 0;
}

/** Whether none of its tasks may begin: it is being stopped, or is a DAG that is not whole. */
export function isHeld(group: GroupRow): boolean {
  return group.stopping !== null || ('due' in group && !isWhole(group));
}

/** Whether the rows of all of its tasks are made and none of them is about to be begun anew. */
export function isWhole({ made, size, sweep }: GroupRow): boolean {
  return made === size && sweep === null;
}

function dueOf(group: GroupRow): readonly number[] {
  return 'due' in group ? (group as DagRow).due : [];
}
