import type { ClusterRow, IdempotencyRow } from './cluster.ts';
import type { NodeRow } from './node.ts';
import type { SpecRow, TaskRow } from './task.ts';

/** The tables of the replicated state, and what a row of each is. */
export interface Tables {
  /** One row, key `cluster`. */
  readonly cluster: ClusterRow;
  /** By name. */
  readonly node: NodeRow;
  /** By id. Open ones live in memory, finished ones only in the store. */
  readonly task: TaskRow;
  readonly spec: SpecRow;
  /** By key. In the store only. */
  readonly idempotency: IdempotencyRow;
}

export type TableName = keyof Tables;

export interface RowKey {
  readonly table: TableName;
  readonly key: string;
}

/** One row before and after a command; null where there was, or is, none. */
export type RowChange = {
  [T in TableName]: {
    readonly table: T;
    readonly key: string;
    readonly before: Tables[T] | null;
    readonly after: Tables[T] | null;
  };
}[TableName];
