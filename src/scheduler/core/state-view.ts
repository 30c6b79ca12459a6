import type { AlertChannelRow, AlertRow } from '../../model/alert-outbox.ts';
import type { ClusterRow } from '../../model/cluster.ts';
import type { BatchRow, DagRow, GraphRow, GroupRef } from '../../model/group.ts';
import type { CopylessNodeRow } from '../../model/copyless-node.ts';
import type { FormerMemberRow } from '../../model/former-member.ts';
import type { JoinTokenRow } from '../../model/join-token.ts';
import type { LogHolderRow } from '../../model/log-holder.ts';
import type { NodeRow } from '../../model/node.ts';
import type { InstanceRow, ScalingDecisionRow, ScalingRow } from '../../model/scaling.ts';
import type { Resources, SpecRow, TaskRow, TaskStatus } from '../../model/task.ts';
import type { TokenRow } from '../../model/token.ts';
import type { KeyUse } from './concurrency-keys.ts';
import type { QueuedRequest } from './pending-queue.ts';
import type { TaskRequest } from './request.ts';
import type { TaskGroups } from './task-groups.ts';

/** What has been applied on this node. Valid until the next await: never keep rows across one for a decision. */
export interface StateView {
  readonly cluster: ClusterRow | null;
  readonly nodes: ReadonlyMap<string, NodeRow>;
  /** By the name of the node whose logs they hold. */
  readonly logHolders: ReadonlyMap<string, LogHolderRow>;
  /** By id; also those that have ended and are not forgotten yet. */
  readonly tokens: ReadonlyMap<string, TokenRow>;
  /** By id; some may have expired. */
  readonly joinTokens: ReadonlyMap<string, JoinTokenRow>;
  /** Messages to webhooks, by id; also the newest of those that are over. */
  readonly alerts: ReadonlyMap<string, AlertRow>;
  /** By event and webhook. */
  readonly alertChannels: ReadonlyMap<string, AlertChannelRow>;
  /** Null: the autoscaler has never decided anything. */
  readonly scaling: ScalingRow | null;
  /** By id. */
  readonly instances: ReadonlyMap<string, InstanceRow>;
  /** By key; not in order. */
  readonly scalingDecisions: ReadonlyMap<string, ScalingDecisionRow>;
  /** By name. */
  readonly formerMembers: ReadonlyMap<string, FormerMemberRow>;
  /** By name; those that are members now do not count (`copylessNodes`). */
  readonly copylessNodes: ReadonlyMap<string, CopylessNodeRow>;
  /** Open tasks only; finished ones are read from the store. */
  readonly tasks: ReadonlyMap<string, TaskRow>;
  /** Specs of open tasks. */
  readonly specs: ReadonlyMap<string, SpecRow>;
  /** Sum of what is set aside on the node for tasks ASSIGNED or RUNNING there. */
  allocated(node: string): Resources;
  /** Ids of the tasks ASSIGNED or RUNNING on the node. */
  tasksOn(node: string): ReadonlySet<string>;
  /** The same tasks as those see them that keep apart from others. */
  groupsOn(node: string): TaskGroups;
  /** Null: no open task has the concurrency key. */
  keyUse(key: string): KeyUse | null;
  /** The node where the newest task of that name runs or ran, as far as it is remembered. */
  placeOf(taskName: string): string | null;
  /** Open tasks that are on no node, also those of batches and DAGs whose rows are not made yet. */
  readonly queuedCount: number;
  /** Those of batches and DAGs whose rows are not made yet. */
  readonly unmadeCount: number;
  /** Open tasks whose rows are made. */
  statusCount(status: TaskStatus): number;
  /**
   * PENDING tasks that are due, in scheduling order: priority, then submission.
   * @param skip asked again before each task; what has such a request is passed over at once, however much of it there is
   * @param skipGroup the same for the batch or DAG of a task
   */
  pending(
    skip?: (request: TaskRequest) => boolean,
    skipGroup?: (task: TaskRow) => boolean,
  ): Iterable<TaskRow>;
  readonly pendingCount: number;
  /** The same tasks by what they ask for, with how many there are and since when they could run. */
  queuedRequests(): Iterable<QueuedRequest>;
  /** The task's place among them, from 1; null: it is none of them. */
  positionOf(task: TaskRow): number | null;
  /** FAILED tasks whose next try is due at or before the time, and PENDING ones that are not to run before. */
  retriesDue(atMs: number): Iterable<TaskRow>;
  /** When the next retry is due; null where there is none. */
  nextRetryAtMs(): number | null;
  /** Those that are not over; finished ones are read from the store. */
  readonly batches: ReadonlyMap<string, BatchRow>;
  readonly dags: ReadonlyMap<string, DagRow>;
  /** Of DAGs that are not over. */
  readonly graphs: ReadonlyMap<string, GraphRow>;
  /** Whether its batch or DAG keeps the task from running for now, though it is PENDING. */
  isHeld(task: Pick<TaskRow, 'batchId' | 'dagId'>): boolean;
  /** How many more tasks of that gate may be assigned; null: no bound. */
  roomIn(gate: string): number | null;
  /** One that has something left for its leader to do, or null. */
  nextWorkingGroup(): GroupRef | null;
}
