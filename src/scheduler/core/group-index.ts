/** Batches and DAGs that are not over, as memory holds them, and their open tasks by position. */
import type { BatchRow, DagRow, GraphRow, GroupTable } from '../../model/group.ts';
import { activeCount, groupOf, hasWork, isHeld } from '../../model/group.ts';
import type { TaskRow } from '../../model/task.ts';

type Group = BatchRow | DagRow;

export class GroupIndex {
  readonly batches = new Map<string, BatchRow>();
  readonly dags = new Map<string, DagRow>();
  readonly graphs = new Map<string, GraphRow>();
  /** While rows are restored: graphs whose DAGs have not come, if they come at all. */
  readonly #unclaimedGraphs = new Map<string, GraphRow>();
  readonly #members = new Map<string, Map<number, TaskRow>>();
  readonly #working = new Map<string, GroupTable>();
  #unmade = 0;

  /** Tasks of theirs whose rows are not made. */
  get unmade(): number {
    return this.#unmade;
  }

  get(id: string): Group | undefined {
    return this.batches.get(id) ?? this.dags.get(id);
  }

  setBatch(id: string, row: BatchRow | null): void {
    this.#set('batch', this.batches, id, row);
  }

  setDag(id: string, row: DagRow | null): void {
    this.#set('dag', this.dags, id, row);
    if (!this.dags.has(id)) {
      this.graphs.delete(id);
      return;
    }
    const graph = this.#unclaimedGraphs.get(id);
    if (graph !== undefined && this.#unclaimedGraphs.delete(id)) this.graphs.set(id, graph);
  }

  setGraph(id: string, row: GraphRow | null): void {
    if (row === null) this.graphs.delete(id);
    else this.graphs.set(id, row);
  }

  /** Restored before its DAG. */
  keepGraph(id: string, row: GraphRow): void {
    this.#unclaimedGraphs.set(id, row);
  }

  forgetUnclaimed(): void {
    this.#unclaimedGraphs.clear();
  }

  /** @param after null: it is over, or gone */
  setTask(before: TaskRow | null, after: TaskRow | null): void {
    const row = after ?? before;
    const group = row === null ? null : groupOf(row);
    if (row === null || group === null) return;
    const members = this.#members.get(group.id) ?? new Map<number, TaskRow>();
    if (after === null) members.delete(row.createdPosition);
    else members.set(row.createdPosition, after);
    if (members.size === 0) this.#members.delete(group.id);
    else this.#members.set(group.id, members);
  }

  openMember(groupId: string, position: number): TaskRow | null {
    return this.#members.get(groupId)?.get(position) ?? null;
  }

  /** The first that its leader has to go on with, or null. */
  nextWorking(): { readonly table: GroupTable; readonly id: string } | null {
    for (const [id, table] of this.#working) return { table, id };
    return null;
  }

  isHeld(task: Pick<TaskRow, 'batchId' | 'dagId'>): boolean {
    const ref = groupOf(task);
    const group = ref === null ? undefined : this.get(ref.id);
    return group !== undefined && isHeld(group);
  }

  /** How many more of the group may run, as far as the state goes; null: no bound. */
  roomIn(gate: string): number | null {
    const group = this.get(gate);
    if (group === undefined || group.maxParallel === null) return null;
    return group.maxParallel - activeCount(group);
  }

  #set<G extends Group>(table: GroupTable, groups: Map<string, G>, id: string, row: G | null): void {
    const open = row !== null && row.finishedAtMs === null ? row : null;
    this.#unmade += unmadeOf(open) - unmadeOf(groups.get(id) ?? null);
    if (open === null) groups.delete(id);
    else groups.set(id, open);
    if (open !== null && hasWork(open)) this.#working.set(id, table);
    else this.#working.delete(id);
  }
}

function unmadeOf(group: Group | null): number {
  return group === null ? 0 : group.size - group.made;
}
