/**
 * What a command changes, gathered aside and taken over whole: a throw half-way leaves the state as it was. Reads see
 * what was staged, then memory, then the rows that were loaded for the command.
 */
import { invariant } from '../../lib/assert.ts';
import type { ClusterRow } from '../../model/cluster.ts';
import type { RowChange, TableName, Tables } from '../../model/rows.ts';
import type { SpecRow, TaskRow } from '../../model/task.ts';
import type { ClusterState } from './state.ts';

/** Rows that memory does not hold, by `table/key`. */
export type LoadedRows = ReadonlyMap<string, Tables[TableName]>;

/** Position of the entry that carries the command. */
export interface EntryPosition {
  readonly term: number;
  readonly index: number;
}

interface Staged {
  readonly table: TableName;
  readonly key: string;
  readonly before: Tables[TableName] | null;
  after: Tables[TableName] | null;
}

export class Transaction {
  readonly state: ClusterState;
  readonly entry: EntryPosition;
  /** Cluster time: never goes back. */
  readonly nowMs: number;
  /** Maxima of concurrency keys that this command has brought. */
  readonly newMaxima = new Map<string, number>();
  readonly #loaded: LoadedRows;
  readonly #staged = new Map<string, Staged>();

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

  putTask(task: TaskRow): void {
    this.put('task', task.id, task);
  }

  spec(task: TaskRow): SpecRow {
    const spec = this.get('spec', task.specId);
    invariant(spec !== null, `the spec of ${task.id} is there`);
    return spec;
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
    const name = `${table}/${key}`;
    const staged = this.#staged.get(name);
    if (staged === undefined)
      this.#staged.set(name, { table, key, before: this.#unstaged(table, key), after });
    else staged.after = after;
  }
}
