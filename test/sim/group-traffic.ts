/** Batches and DAGs as users submit, cancel and retry them, small ones in small slices, so that leaders change in between. */
import type { BatchRow, DagRow, GraphRow, GroupRow } from '../../src/model/group.ts';
import { NO_COUNTS, groupOf } from '../../src/model/group.ts';
import { isTerminal } from '../../src/model/phases.ts';
import type { RowChange } from '../../src/model/rows.ts';
import type { TaskRow, TaskStatus } from '../../src/model/task.ts';
import { isCompleted, memberIds } from '../../src/scheduler/core/groups/rows.ts';
import type { ClusterState } from '../../src/scheduler/core/state.ts';
import {
  advanceOf,
  batchInput,
  dagInput,
  listOf,
  retryInput,
} from '../../src/scheduler/core/testing/groups.ts';
import { specOf } from '../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';
import type { Chance } from './chance.ts';
import type { Member } from './member.ts';
import type { Replica } from './replica.ts';
import type { Trace } from './trace.ts';
import { Violation } from './trace.ts';

const MOST_TASKS = 6;
const MOST_EDGES = 2;
/** Remembered, to be retried when they are over. */
const MOST_REMEMBERED = 20;

export class GroupTraffic {
  readonly #chance: Chance;
  readonly #known: { readonly table: 'batch' | 'dag'; readonly id: string }[] = [];

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** @param mayAdd whether there is room for more tasks */
  input(member: Member, mayAdd: boolean): CommandInput | null {
    const { state } = member.replica.core;
    this.#remember(state);
    const known = this.#chance.pick(this.#known);
    const row = known === undefined ? null : (member.replica.row(known.table, known.id) as GroupRow | null);
    if (known === undefined || row === null || this.#chance.happens(0.5))
      return mayAdd ? this.#submission() : null;
    const choice = this.#chance.random();
    if (choice < 0.3) return { type: 'cancelGroup', ...known, idempotency: null };
    if (choice < 0.7) return retryInput(row, known.table);
    // Beside the leader's own: late, or twice.
    return advanceOf(row, known.table, member.core.status().term);
  }

  #remember({ batches, dags }: ClusterState): void {
    for (const [table, ids] of [['batch', batches.keys()] as const, ['dag', dags.keys()] as const]) {
      for (const id of ids) if (!this.#known.some((one) => one.id === id)) this.#known.push({ table, id });
    }
    this.#known.splice(0, Math.max(0, this.#known.length - MOST_REMEMBERED));
  }

  #submission(): CommandInput {
    const chance = this.#chance;
    const spec = specOf({ name: 'of-{{index}}', retry: { maxAttempts: 1 + chance.whole(2) } });
    const size = 1 + chance.whole(MOST_TASKS);
    const bounds = {
      sliceTasks: 1 + chance.whole(3),
      maxParallel: chance.happens(0.4) ? 1 + chance.whole(3) : null,
      maxFailures: chance.happens(0.3) ? chance.whole(3) : null,
    };
    if (chance.happens(0.3)) return batchInput({ type: 'template', template: spec, count: size }, bounds);
    if (chance.happens(0.2)) return batchInput(listOf(Array.from({ length: size }, () => spec)), bounds);
    // Each depends on some of those after it, so that what comes first waits.
    const edges = Array.from({ length: size }, (_, at) => {
      const others = Array.from({ length: size - at - 1 }, (__, other) => at + 1 + other);
      return others.filter(() => chance.happens(0.5)).slice(0, MOST_EDGES);
    });
    return dagInput(edges, bounds, spec);
  }
}

/** A task of a DAG begins only once all that it depends on has COMPLETED. @throws Violation */
export function checkRule(replica: Replica, { table, before, after }: RowChange): void {
  if (table !== 'task' || after === null || after.status === before?.status) return;
  const { dagId, status, createdPosition } = after;
  if (dagId === undefined || dagId === null || (status !== 'PENDING' && status !== 'ASSIGNED')) return;
  const dag = replica.row('dag', dagId) as DagRow;
  const graph = replica.row('graph', dagId) as GraphRow;
  const idOf = memberIds(dag);
  for (const dependency of graph.dependencies[createdPosition] ?? []) {
    const other = replica.row('task', idOf(dependency)) as TaskRow | null;
    // Of what has expired, the DAG remembers that it completed.
    const isGone = other === null && isCompleted(dag, dependency);
    if (other?.status !== 'COMPLETED' && !isGone)
      throw new Violation(`${after.id} is ${status}, and ${idOf(dependency)}, on which it depends, is not`);
  }
}

/** Tasks expire before their group does: what it counts of them stays. @throws Violation */
function checkCounts(group: BatchRow | DagRow, members: readonly TaskRow[]): void {
  const counts: Record<TaskStatus, number> = { ...NO_COUNTS };
  for (const { status } of members) counts[status] += 1;
  let left = group.size - members.length;
  for (const [status, count] of Object.entries(group.counts)) {
    const expired = count - counts[status as TaskStatus];
    if (expired < 0) throw new Violation(`${group.id} counts ${count} tasks ${status}, and there are more`);
    if (expired > 0 && !isTerminal(status as TaskStatus))
      throw new Violation(`${group.id} counts ${count} tasks ${status}, and there are fewer`);
    left -= expired;
  }
  if (left !== 0) throw new Violation(`${group.id} has ${group.size} tasks, and counts others`);
}

/** What every row says of its group agrees with what the group says of itself. @throws Violation */
export function checkGroups(replica: Replica, trace: Trace): void {
  const rows = [...replica.rows()];
  const tasks = new Map<string, TaskRow[]>();
  for (const { table, row } of rows) {
    const group = table === 'task' ? groupOf(row) : null;
    if (group !== null) tasks.set(group.id, [...(tasks.get(group.id) ?? []), row as TaskRow]);
  }
  for (const { table, row } of rows) {
    if (table !== 'batch' && table !== 'dag') continue;
    const group = row as BatchRow | DagRow;
    const members = tasks.get(group.id) ?? [];
    checkCounts(group, members);
    if (group.finishedAtMs === null) throw new Violation(`${group.id} is ${group.status} in the end`);
    if (group.status === 'COMPLETED') trace.count('batch or DAG completed');
    else trace.count(group.status === 'FAILED' ? 'batch or DAG failed' : 'batch or DAG cancelled');
  }
}
