/** Batches and DAGs in tests: submitted, gone on with as a leader does, and compared with what their rows say. */
import { invariant } from '../../../lib/assert.ts';
import type { BatchWork } from '../../../model/commands.ts';
import type { BatchRow, DagRow, GroupCounts, GroupRow, GroupTable } from '../../../model/group.ts';
import { NO_COUNTS, groupOf } from '../../../model/group.ts';
import { packSpecs } from '../../../model/packed-specs.ts';
import type { TaskRow, TaskSpec, TaskStatus } from '../../../model/task.ts';
import type { CommandInput } from '../../ports.ts';
import { idsFrom } from '../groups/rows.ts';
import type { TestCluster } from './test-cluster.ts';
import { specOf } from './values.ts';

/** A batch that lists its tasks. */
export function listOf(specs: readonly TaskSpec[]): BatchWork {
  const [base] = specs;
  invariant(base !== undefined, 'a batch has a task');
  return { type: 'tasks', specs: packSpecs(specs, base) };
}

type Bounds = Partial<Pick<GroupRow, 'name' | 'maxParallel' | 'maxFailures' | 'sliceTasks'>>;

export function batchInput(work: BatchWork, bounds: Bounds = {}): CommandInput & { type: 'submitBatch' } {
  const defaults = { name: 'batch', maxParallel: null, maxFailures: null, sliceTasks: 500 };
  return { type: 'submitBatch', work, idempotency: null, ...defaults, ...bounds };
}

/** @param edges per task, the positions of what it depends on */
export function dagInput(
  edges: readonly (readonly number[])[],
  bounds: Bounds = {},
  spec: TaskSpec = specOf(),
): CommandInput & { type: 'submitDag' } {
  const defaults = { name: 'dag', maxParallel: null, maxFailures: null, sliceTasks: 500 };
  const tasks = edges.map((_, at) => `t${at}`);
  const specs = packSpecs(
    tasks.map((name) => ({ ...spec, name })),
    spec,
  );
  return {
    type: 'submitDag',
    tasks,
    specs,
    dependencies: edges,
    idempotency: null,
    ...defaults,
    ...bounds,
  };
}

export class TestGroup {
  readonly cluster: TestCluster;
  readonly table: GroupTable;
  readonly id: string;

  constructor(cluster: TestCluster, table: GroupTable, id: string) {
    this.cluster = cluster;
    this.table = table;
    this.id = id;
  }

  static batch(cluster: TestCluster, work: BatchWork, bounds: Bounds = {}): TestGroup {
    return new TestGroup(cluster, 'batch', cluster.done(batchInput(work, bounds)).id);
  }

  static dag(cluster: TestCluster, edges: readonly (readonly number[])[], bounds: Bounds = {}): TestGroup {
    return new TestGroup(cluster, 'dag', cluster.done(dagInput(edges, bounds)).id);
  }

  get row(): BatchRow | DagRow {
    const found = this.cluster.stored.get(`${this.table}/${this.id}`);
    invariant(found !== undefined, `${this.id} is stored`);
    return found.row as BatchRow | DagRow;
  }

  /** Those whose rows are made, by position. */
  get tasks(): readonly TaskRow[] {
    return [...this.cluster.stored.values()]
      .filter(({ table, row }) => table === 'task' && groupOf(row as TaskRow)?.id === this.id)
      .map(({ row }) => row as TaskRow)
      .sort((a, b) => a.createdPosition - b.createdPosition);
  }

  get statuses(): readonly TaskStatus[] {
    return this.tasks.map(({ status }) => status);
  }

  at(position: number): TaskRow {
    const task = this.tasks[position];
    invariant(task !== undefined, `task ${position} of ${this.id} is made`);
    return task;
  }

  /** One step, as a leader takes it. @returns whether there was one to take */
  advance(): boolean {
    const input = advanceInput(this.cluster, this.row, this.table);
    return this.cluster.done(input).advanced;
  }

  /** Until nothing is left for a leader to do of any group. */
  advanceAll(): void {
    for (;;) {
      const next = this.cluster.state.nextWorkingGroup();
      if (next === null) return;
      invariant(new TestGroup(this.cluster, next.table, next.id).advance(), 'a step that was due is taken');
    }
  }

  cancel(): void {
    this.cluster.done({ type: 'cancelGroup', table: this.table, id: this.id, idempotency: null });
  }

  retry(): void {
    this.cluster.done(retryInput(this.row, this.table));
  }

  /** Begins the task at the position anew, and no other. */
  retryAlone(position: number): void {
    const { id: taskId, specId } = this.at(position);
    const group = { table: this.table, id: this.id };
    this.cluster.done({ type: 'retryTask', taskId, specId, group, idempotency: null });
  }

  /** Has the task at the position run on the node, and end so. */
  run(position: number, node: string, status: 'COMPLETED' | 'FAILED'): void {
    const { id } = this.at(position);
    this.cluster.assign(id, node);
    this.cluster.report(id, 'RUNNING');
    this.cluster.report(id, status);
  }
}

export function advanceInput(
  cluster: TestCluster,
  row: GroupRow,
  table: GroupTable,
): CommandInput & { type: 'advanceGroup' } {
  return advanceOf(row, table, cluster.term);
}

/** The step that a leader of that term takes next. */
export function advanceOf(
  row: GroupRow,
  table: GroupTable,
  term: number,
): CommandInput & { type: 'advanceGroup' } {
  const at = row.sweep?.next ?? row.made;
  const taskIds = row.sweep?.type === 'retry' ? idsFrom(row, at) : [];
  return { type: 'advanceGroup', term, table, id: row.id, at, taskIds };
}

export function retryInput(row: GroupRow, table: GroupTable): CommandInput & { type: 'retryGroup' } {
  return { type: 'retryGroup', table, id: row.id, taskIds: idsFrom(row, 0), idempotency: null };
}

/** By looking at every row; tasks that are not made count as what they will be. */
export function scannedCounts(group: TestGroup): GroupCounts {
  const counts = { ...NO_COUNTS } as Record<TaskStatus, number>;
  const { made, size } = group.row;
  for (const status of group.statuses) counts[status] += 1;
  const found = group.cluster.stored.get(`graph/${group.id}`)?.row as
    | { readonly dependencies: readonly (readonly number[])[] }
    | undefined;
  for (let position = made; position < size; position += 1)
    counts[(found?.dependencies[position] ?? []).length > 0 ? 'WAITING' : 'PENDING'] += 1;
  return counts;
}
