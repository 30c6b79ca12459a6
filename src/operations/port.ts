/**
 * What clients can ask of a cluster, apart from how they ask: gRPC and HTTP both call this, on any node. Requests and
 * answers are the messages of proto/cluster.proto. Failures are JarvisErrors.
 */
import type {
  AlertTest,
  AutoscalerStatus,
  Batch,
  CancelTaskRequest,
  ChangeGroupRequest,
  ChangeMemberRequest,
  ClusterSettings,
  ClusterStatus,
  CordonNodeRequest,
  CreateJoinTokenRequest,
  CreateTokenRequest,
  CreateTokenResponse,
  CreatedJoinToken,
  Dag,
  DrainNodeRequest,
  EventsPiece,
  EventsRequest,
  Explanation,
  GetAutoscalerRequest,
  GetClusterRequest,
  GetJoinTokenRequest,
  GroupRequest,
  JoinToken,
  JoinTokenRequest,
  LabelNodeRequest,
  ListAlertsRequest,
  ListAlertsResponse,
  ListBatchesResponse,
  ListDagsResponse,
  ListGroupsRequest,
  ListJoinTokensResponse,
  ListNodesResponse,
  ListScalingDecisionsRequest,
  ListScalingDecisionsResponse,
  ListTasksRequest,
  ListTasksResponse,
  ListTokensResponse,
  LogLevel,
  LogLevelRequest,
  LogsRequest,
  Node,
  NodeChange,
  NodeRequest,
  NodeUsage,
  NodeUsageRequest,
  PlanRequest,
  RemoveNodeRequest,
  RemoveNodeResponse,
  RetryTaskRequest,
  RevokeTokenRequest,
  SetConfigRequest,
  SetLogLevelRequest,
  SnapshotPiece,
  SubmitBatchRequest,
  SubmitBatchResponse,
  SubmitDagRequest,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskPlan,
  TaskRequest,
  TaskUsage,
  TaskUsageRequest,
  TestAlertRequest,
  Token,
  TransferLeadershipRequest,
  UndrainNodeRequest,
  UpdateTaskRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

/** What came with a call, unchecked. */
export interface Caller {
  /** `jarvis_…`, or whatever stood in its place; null where there was none. */
  readonly token: string | null;
  /** Of its end of the connection, without the port; that of a forwarded call is the node that sent it on. */
  readonly address: string;
  /** What a node shows that asks for itself and not for a caller, which has no token. */
  readonly node?: { readonly name: string; readonly startId: string } | null;
}

export interface CallContext {
  /** Absent: nothing came along, as where a node asks itself. */
  readonly caller?: Caller;
  /**
   * Who asks: part of every idempotency key. `token:ID`, or `anonymous` while authentication is off; of no meaning before
   * the guard has set it.
   */
  readonly principal: string;
  /** Aborted when the caller has gone or its deadline has passed. */
  readonly signal: AbortSignal;
  /** The request came from another node: it is answered here or refused, never sent on again. */
  readonly forwarded: boolean;
  /** A read that this node answers from its own state, however old that is, also where there is no leader. */
  readonly isStale?: boolean;
  /** Of such a read: told where another node has answered from its state, and of that. */
  readonly onFreshness?: (freshness: Freshness) => void;
  /** Wall time after which nobody waits for the answer any more; absent or infinite: not known. */
  readonly deadlineMs?: number;
}

/** Of the state of one node. */
export interface Freshness {
  /** Applied. */
  readonly index: number;
  /**
   * The state is what the cluster had committed so long ago, or newer: since this node last heard of the leader (a leader:
   * of a majority), or had applied all that it knew to be committed. Null where neither was since its start.
   */
  readonly ageMs: number | null;
}

/** Ids in the order of the request's tasks. */
export interface AcceptedTasks {
  readonly taskIds: readonly string[];
}

/** What clients can ask of batches and DAGs. */
export interface GroupOperations {
  submitBatch(request: SubmitBatchRequest, context: CallContext): Promise<SubmitBatchResponse>;
  getBatch(request: GroupRequest, context: CallContext): Promise<Batch>;
  listBatches(request: ListGroupsRequest, context: CallContext): Promise<ListBatchesResponse>;
  cancelBatch(request: ChangeGroupRequest, context: CallContext): Promise<Batch>;
  retryBatch(request: ChangeGroupRequest, context: CallContext): Promise<Batch>;
  submitDag(request: SubmitDagRequest, context: CallContext): Promise<Dag>;
  getDag(request: GroupRequest, context: CallContext): Promise<Dag>;
  listDags(request: ListGroupsRequest, context: CallContext): Promise<ListDagsResponse>;
  cancelDag(request: ChangeGroupRequest, context: CallContext): Promise<Dag>;
  retryDag(request: ChangeGroupRequest, context: CallContext): Promise<Dag>;
}

/** What operators say of nodes. What is so already is fine. */
export interface NodeOperations {
  cordonNode(request: CordonNodeRequest, context: CallContext): Promise<NodeChange>;
  drainNode(request: DrainNodeRequest, context: CallContext): Promise<NodeChange>;
  undrainNode(request: UndrainNodeRequest, context: CallContext): Promise<NodeChange>;
  labelNode(request: LabelNodeRequest, context: CallContext): Promise<NodeChange>;
}

/** Tokens of callers. */
export interface TokenOperations {
  createToken(request: CreateTokenRequest, context: CallContext): Promise<CreateTokenResponse>;
  listTokens(context: CallContext): Promise<ListTokensResponse>;
  revokeToken(request: RevokeTokenRequest, context: CallContext): Promise<Token>;
}

/** With which nodes come in that the cluster does not know yet. */
export interface JoinTokenOperations {
  createJoinToken(request: CreateJoinTokenRequest, context: CallContext): Promise<CreatedJoinToken>;
  listJoinTokens(context: CallContext): Promise<ListJoinTokensResponse>;
  getJoinToken(request: GetJoinTokenRequest, context: CallContext): Promise<JoinToken>;
  deleteJoinToken(request: JoinTokenRequest, context: CallContext): Promise<JoinToken>;
}

/** What webhooks are told. */
export interface AlertOperations {
  listAlerts(request: ListAlertsRequest, context: CallContext): Promise<ListAlertsResponse>;
  testAlert(request: TestAlertRequest, context: CallContext): Promise<AlertTest>;
}

/** What the autoscaler does. */
export interface ScalingOperations {
  getAutoscaler(request: GetAutoscalerRequest, context: CallContext): Promise<AutoscalerStatus>;
  /** The newest first. */
  listScalingDecisions(
    request: ListScalingDecisionsRequest,
    context: CallContext,
  ): Promise<ListScalingDecisionsResponse>;
}

/** A node that has shown the secret of a join token. */
export interface JoinTokenUser {
  /** Of the token. */
  readonly id: string;
  readonly secretHash: string;
  readonly node: string;
  /** The hash of its public key or, without TLS, its incarnation. */
  readonly holder: string;
}

export interface ClusterOperations
  extends
    GroupOperations,
    NodeOperations,
    TokenOperations,
    JoinTokenOperations,
    AlertOperations,
    ScalingOperations {
  submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse>;
  /** The same, with nothing of the tasks but their ids in the answer: what streams of submits are made of. */
  acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks>;
  getTask(request: TaskRequest, context: CallContext): Promise<Task>;
  /** Why it waits. */
  explainTask(request: TaskRequest, context: CallContext): Promise<Explanation>;
  /** Where tasks would run if they were submitted now; changes nothing. */
  planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan>;
  listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse>;
  cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task>;
  retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task>;
  updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task>;
  /** The task now and after each change, until it is terminal; changes in quick succession may be merged. */
  watchTask(request: TaskRequest, context: CallContext): AsyncIterable<Task>;
  readLogs(request: LogsRequest, context: CallContext): AsyncIterable<LogChunk>;
  /** See `operations/events.ts`: answered by this node, whoever leads. */
  watchEvents(request: EventsRequest, context: CallContext): AsyncIterable<EventsPiece>;
  listNodes(context: CallContext): Promise<ListNodesResponse>;
  getNode(request: NodeRequest, context: CallContext): Promise<Node>;
  /** See `operations/usage.ts`: answered by the node that it is about, whoever leads. */
  getNodeUsage(request: NodeUsageRequest, context: CallContext): Promise<NodeUsage>;
  /** See `operations/log-level.ts`: answered by the node that it is about, whoever leads. */
  getLogLevel(request: LogLevelRequest, context: CallContext): Promise<LogLevel>;
  setLogLevel(request: SetLogLevelRequest, context: CallContext): Promise<LogLevel>;
  getTaskUsage(request: TaskUsageRequest, context: CallContext): Promise<TaskUsage>;
  removeNode(request: RemoveNodeRequest, context: CallContext): Promise<RemoveNodeResponse>;
  /** The leader's answer; with `consistency: 'stale'` this node's own, without a leader too. */
  getCluster(request: GetClusterRequest, context: CallContext): Promise<ClusterStatus>;
  changeMember(request: ChangeMemberRequest, context: CallContext): Promise<ClusterStatus>;
  transferLeadership(request: TransferLeadershipRequest, context: CallContext): Promise<ClusterStatus>;
  saveSnapshot(context: CallContext): AsyncIterable<SnapshotPiece>;
  getConfig(context: CallContext): Promise<ClusterSettings>;
  setConfig(request: SetConfigRequest, context: CallContext): Promise<ClusterSettings>;
  version(): VersionInfo;
  /** What a read with `isStale` is answered from, at least; null: another node answers, and says it of its own state. */
  freshness(): Freshness | null;
}

/** `/healthz` and `/readyz`. */
export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in a sentence; empty when ready. */
  readonly reason: string;
}

/** The same on another node, for one that sends a caller's request on. */
export type RemoteOperations = Pick<
  ClusterOperations,
  | 'submitTasks'
  | 'acceptTasks'
  | 'getTask'
  | 'explainTask'
  | 'planTasks'
  | 'listTasks'
  | 'cancelTask'
  | 'retryTask'
  | 'updateTask'
  | 'watchTask'
  | 'listNodes'
  | 'getNode'
  | 'removeNode'
  | 'getCluster'
  | 'changeMember'
  | 'transferLeadership'
  | 'saveSnapshot'
  | 'getConfig'
  | 'setConfig'
  | keyof GroupOperations
  | keyof NodeOperations
  | keyof TokenOperations
  | keyof JoinTokenOperations
  | keyof AlertOperations
  | keyof ScalingOperations
>;
