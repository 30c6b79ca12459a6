/**
 * What a command changes, gathered aside and taken over whole: a throw half-way leaves the state as it was. Reads see
 * what was staged, then memory, then the rows that were loaded for the command.
 */
import { invariant } from '../../lib/assert.ts';
import type { AlertOccurrence } from '../../model/alert-outbox.ts';
import type { AlertEvent } from '../../model/alerts.ts';
import type { ClusterRow } from '../../model/cluster.ts';
import { groupOf } from '../../model/group.ts';
import type { GroupRef } from '../../model/group.ts';
import type { RowChange, TableName, Tables } from '../../model/rows.ts';
import type { SpecRow, TaskRow, TaskStatus } from '../../model/task.ts';
import { specOfTask } from '../../model/template.ts';
import type { ClusterState } from './state.ts';

/** Rows that memory does not hold, by `table/key`. */
export type LoadedRows = ReadonlyMap<string, Tables[TableName]>;

/** Position of the entry that carries the command. */
export interface EntryPosition {
  readonly term: number;
  readonly index: number;
}

/** What needs a person. */
export interface RaisedAlert extends Omit<AlertOccurrence, 'atMs'> {
  readonly event: AlertEvent;
}

interface Staged {
  readonly table: TableName;
  readonly key: string;
  readonly before: Tables[TableName] | null;
  after: Tables[TableName] | null;
}

/** A task of a batch or a DAG was put in another status. */
export interface MemberMove {
  readonly group: GroupRef;
  readonly position: number;
  readonly from: TaskStatus;
  readonly to: TaskStatus;
}

export class Transaction {
  readonly state: ClusterState;
  readonly entry: EntryPosition;
  /** Cluster time: never goes back. */
  readonly nowMs: number;
  /** Maxima of concurrency keys that this command has brought. */
  readonly newMaxima = new Map<string, number>();
  /** Raised by the command itself: what no row says. */
  readonly raised: RaisedAlert[] = [];
  readonly #loaded: LoadedRows;
  readonly #staged = new Map<string, Staged>();
  /** Tasks of groups that were put, by group and position: memory does not have those that are new. */
  readonly #members = new Map<string, string>();
  #moves: MemberMove[] = [];

  constructor(options: { state: ClusterState; entry: EntryPosition; atMs: number; loaded: LoadedRows }) {
    this.state = options.state;
    this.entry = options.entry;
    this.nowMs = Math.max(options.state.cluster?.timeMs ?? 0, options.atMs);
    this.#loaded = options.loaded;
  }

  get<T extends TableName>(table: T, key: string): Tables[T] | null {
    const staged = this.#staged.get(`${table}/${key}`);
    if (staged !== undefined) return staged.after as Tables[T] | null;
    return this.#unstaged(table, key);
  }

  put<T extends TableName>(table: T, key: string, row: Tables[T]): void {
    this.#stage(table, key, row);
  }

  delete(table: TableName, key: string): void {
    this.#stage(table, key, null);
  }

  /** @throws InvariantError before the cluster has been initialised */
  get cluster(): ClusterRow {
    const cluster = this.get('cluster', 'cluster');
    invariant(cluster !== null, 'the cluster has been initialised');
    return cluster;
  }

  putCluster(changes: Partial<ClusterRow>): void {
    this.put('cluster', 'cluster', { ...this.cluster, ...changes });
  }

  task(id: string): TaskRow | null {
    return this.get('task', id);
  }

  /** Whatever becomes of a task, its batch or DAG gets to know here: see `groups/settle.ts`. */
  putTask(task: TaskRow): void {
    const group = groupOf(task);
    // One that is made is in the counts of its group already.
    const before = group === null ? null : this.task(task.id);
    if (group !== null && before !== null && before.status !== task.status)
      this.#moves.push({ group, position: task.createdPosition, from: before.status, to: task.status });
    if (group !== null) this.#members.set(`${group.id}/${task.createdPosition}`, task.id);
    this.put('task', task.id, task);
  }

  /** The task of a group at a position, where memory holds it or it was put; null also where its row is not made. */
  member(groupId: string, position: number): TaskRow | null {
    const id = this.#members.get(`${groupId}/${position}`) ?? this.state.openMember(groupId, position)?.id;
    return id === undefined ? null : this.task(id);
  }

  /** What has become of tasks of groups since the last call, in order. */
  takeMoves(): readonly MemberMove[] {
    const moves = this.#moves;
    this.#moves = [];
    return moves;
  }

  /** Filled in, where it is of a template. */
  spec(task: TaskRow): SpecRow {
    const spec = this.get('spec', task.specId);
    invariant(spec !== null, `the spec of ${task.id} is there`);
    const own = specOfTask(task, spec.spec);
    return own === spec.spec ? spec : { id: spec.id, spec: own };
  }

  /** In the order in which rows were first touched: the same on every replica. */
  changes(): readonly RowChange[] {
    return [...this.#staged.values()].filter(
      ({ before, after }) => before !== after,
    ) as unknown as RowChange[];
  }

  #unstaged<T extends TableName>(table: T, key: string): Tables[T] | null {
    return (
      this.state.inMemory(table, key) ??
      (this.#loaded.get(`${table}/${key}`) as Tables[T] | undefined) ??
      null
    );
  }

  #stage(table: TableName, key: string, after: Tables[TableName] | null): void {
    // What no node proposes may stand in a log all the same. In memory [] would be another key than '', on disk the same.
    invariant(typeof key === 'string', `a ${table} is named by a text`);
    const name = `${table}/${key}`;
    const staged = this.#staged.get(name);
    if (staged === undefined)
      this.#staged.set(name, { table, key, before: this.#unstaged(table, key), after });
    else staged.after = after;
  }
}
