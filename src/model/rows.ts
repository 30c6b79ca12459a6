import type { AlertChannelRow, AlertRow } from './alert-outbox.ts';
import type { ClusterRow, IdempotencyRow } from './cluster.ts';
import type { CopylessNodeRow } from './copyless-node.ts';
import type { EventRow, FinishedRow, UsedKeysRow } from './events.ts';
import type { FormerMemberRow } from './former-member.ts';
import type { BatchRow, BlueprintRow, DagNameRow, DagRow, GraphRow } from './group.ts';
import type { JoinTokenRow } from './join-token.ts';
import type { LogHolderRow } from './log-holder.ts';
import type { NodeRow } from './node.ts';
import type { InstanceRow, ScalingDecisionRow, ScalingRow } from './scaling.ts';
import type { SpecRow, TaskRow } from './task.ts';
import type { TokenRow } from './token.ts';

/** The tables of the replicated state, and what a row of each is. */
export interface Tables {
  /** One row, key `cluster`. */
  readonly cluster: ClusterRow;
  /** By name. */
  readonly node: NodeRow;
  /** By name of the node that has left, or is about to. */
  readonly logHolder: LogHolderRow;
  /** By id. */
  readonly token: TokenRow;
  /** By name. Gone when a join token lets one of that name in again. */
  readonly formerMember: FormerMemberRow;
  /** By name. One whose incarnation is a member's does not count. */
  readonly copylessNode: CopylessNodeRow;
  /** By id. Gone when it has expired. */
  readonly joinToken: JoinTokenRow;
  /** Messages to webhooks, by id. */
  readonly alert: AlertRow;
  /** By event and address of the webhook. */
  readonly alertChannel: AlertChannelRow;
  /** One row, key `scaling`. */
  readonly scaling: ScalingRow;
  /** By id, which is the client token. */
  readonly instance: InstanceRow;
  /** By its sequence. */
  readonly scalingDecision: ScalingDecisionRow;
  /** By id. Open ones live in memory, finished ones only in the store. */
  readonly task: TaskRow;
  readonly spec: SpecRow;
  /** By id. Those that are not over live in memory, the others only in the store, as do their graphs. */
  readonly batch: BatchRow;
  readonly dag: DagRow;
  readonly graph: GraphRow;
  /** In the store only, and only until the tasks are made. */
  readonly blueprint: BlueprintRow;
  /** By name. In the store only. */
  readonly dagName: DagNameRow;
  /** By key. In the store only. */
  readonly idempotency: IdempotencyRow;
  /** By index of the entry, as the two below. In the store only. */
  readonly event: EventRow;
  readonly finished: FinishedRow;
  readonly usedKeys: UsedKeysRow;
}

export type TableName = keyof Tables;

/** Their keys are indexes of entries. */
export const ORDERED_TABLES = ['event', 'finished', 'usedKeys'] as const satisfies readonly TableName[];
export type OrderedTableName = (typeof ORDERED_TABLES)[number];

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
