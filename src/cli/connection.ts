/**
 * What commands need from one peer: a method per operation. Answers and failures are as in `operations/port.ts`, so
 * every failure is a JarvisError. `grpc-connection.ts` is the implementation.
 */
import type {
  Batch,
  CancelTaskRequest,
  ChangeGroupRequest,
  ChangeMemberRequest,
  ClusterSettings,
  ClusterStatus,
  EventsPiece,
  EventsRequest,
  Explanation,
  Dag,
  GetClusterRequest,
  GroupRequest,
  ListBatchesResponse,
  ListDagsResponse,
  ListGroupsRequest,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
  ListTokensResponse,
  LogLevel,
  LogLevelRequest,
  LogsRequest,
  Node,
  NodeRequest,
  NodeUsage,
  NodeUsageRequest,
  PlanRequest,
  CordonNodeRequest,
  CreateTokenRequest,
  CreateTokenResponse,
  AlertTest,
  AutoscalerStatus,
  GetAutoscalerRequest,
  ListScalingDecisionsRequest,
  ListScalingDecisionsResponse,
  CreatedJoinToken,
  CreateJoinTokenRequest,
  JoinToken,
  JoinTokenRequest,
  ListAlertsRequest,
  ListAlertsResponse,
  ListJoinTokensResponse,
  TestAlertRequest,
  DrainNodeRequest,
  LabelNodeRequest,
  NodeChange,
  UndrainNodeRequest,
  RemoveNodeRequest,
  RemoveNodeResponse,
  SetConfigRequest,
  SetLogLevelRequest,
  RetryTaskRequest,
  RevokeTokenRequest,
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
  Token,
  TransferLeadershipRequest,
  UpdateTaskRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import type { Freshness } from '../rpc/freshness.ts';

export interface ClusterConnection {
  readonly address: string;
  /** Resolves once the peer has accepted the connection. @throws JarvisError unavailable */
  connect(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** What stands against the peer's certificate, where that is why it cannot be reached; else null. */
  problem(): string | null;
  /** How old its last answer may be; null: not older than the request for it. */
  freshness(): Freshness | null;
  submitTasks(request: SubmitTasksRequest, signal: AbortSignal): Promise<SubmitTasksResponse>;
  getTask(request: TaskRequest, signal: AbortSignal): Promise<Task>;
  explainTask(request: TaskRequest, signal: AbortSignal): Promise<Explanation>;
  planTasks(request: PlanRequest, signal: AbortSignal): Promise<TaskPlan>;
  listTasks(request: ListTasksRequest, signal: AbortSignal): Promise<ListTasksResponse>;
  cancelTask(request: CancelTaskRequest, signal: AbortSignal): Promise<Task>;
  retryTask(request: RetryTaskRequest, signal: AbortSignal): Promise<Task>;
  updateTask(request: UpdateTaskRequest, signal: AbortSignal): Promise<Task>;
  watchTask(request: TaskRequest, signal: AbortSignal): AsyncIterable<Task>;
  readLogs(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogChunk>;
  watchEvents(request: EventsRequest, signal: AbortSignal): AsyncIterable<EventsPiece>;
  getNode(request: NodeRequest, signal: AbortSignal): Promise<Node>;
  getLogLevel(request: LogLevelRequest, signal: AbortSignal): Promise<LogLevel>;
  setLogLevel(request: SetLogLevelRequest, signal: AbortSignal): Promise<LogLevel>;
  getNodeUsage(request: NodeUsageRequest, signal: AbortSignal): Promise<NodeUsage>;
  getTaskUsage(request: TaskUsageRequest, signal: AbortSignal): Promise<TaskUsage>;
  cordonNode(request: CordonNodeRequest, signal: AbortSignal): Promise<NodeChange>;
  drainNode(request: DrainNodeRequest, signal: AbortSignal): Promise<NodeChange>;
  undrainNode(request: UndrainNodeRequest, signal: AbortSignal): Promise<NodeChange>;
  labelNode(request: LabelNodeRequest, signal: AbortSignal): Promise<NodeChange>;
  removeNode(request: RemoveNodeRequest, signal: AbortSignal): Promise<RemoveNodeResponse>;
  listNodes(signal: AbortSignal): Promise<ListNodesResponse>;
  getCluster(request: GetClusterRequest, signal: AbortSignal): Promise<ClusterStatus>;
  changeMember(request: ChangeMemberRequest, signal: AbortSignal): Promise<ClusterStatus>;
  transferLeadership(request: TransferLeadershipRequest, signal: AbortSignal): Promise<ClusterStatus>;
  submitBatch(request: SubmitBatchRequest, signal: AbortSignal): Promise<SubmitBatchResponse>;
  getBatch(request: GroupRequest, signal: AbortSignal): Promise<Batch>;
  listBatches(request: ListGroupsRequest, signal: AbortSignal): Promise<ListBatchesResponse>;
  cancelBatch(request: ChangeGroupRequest, signal: AbortSignal): Promise<Batch>;
  retryBatch(request: ChangeGroupRequest, signal: AbortSignal): Promise<Batch>;
  submitDag(request: SubmitDagRequest, signal: AbortSignal): Promise<Dag>;
  getDag(request: GroupRequest, signal: AbortSignal): Promise<Dag>;
  listDags(request: ListGroupsRequest, signal: AbortSignal): Promise<ListDagsResponse>;
  cancelDag(request: ChangeGroupRequest, signal: AbortSignal): Promise<Dag>;
  retryDag(request: ChangeGroupRequest, signal: AbortSignal): Promise<Dag>;
  saveSnapshot(signal: AbortSignal): AsyncIterable<SnapshotPiece>;
  getConfig(signal: AbortSignal): Promise<ClusterSettings>;
  createJoinToken(request: CreateJoinTokenRequest, signal: AbortSignal): Promise<CreatedJoinToken>;
  listJoinTokens(signal: AbortSignal): Promise<ListJoinTokensResponse>;
  deleteJoinToken(request: JoinTokenRequest, signal: AbortSignal): Promise<JoinToken>;
  listAlerts(request: ListAlertsRequest, signal: AbortSignal): Promise<ListAlertsResponse>;
  testAlert(request: TestAlertRequest, signal: AbortSignal): Promise<AlertTest>;
  getAutoscaler(request: GetAutoscalerRequest, signal: AbortSignal): Promise<AutoscalerStatus>;
  listScalingDecisions(
    request: ListScalingDecisionsRequest,
    signal: AbortSignal,
  ): Promise<ListScalingDecisionsResponse>;
  setConfig(request: SetConfigRequest, signal: AbortSignal): Promise<ClusterSettings>;
  createToken(request: CreateTokenRequest, signal: AbortSignal): Promise<CreateTokenResponse>;
  listTokens(signal: AbortSignal): Promise<ListTokensResponse>;
  revokeToken(request: RevokeTokenRequest, signal: AbortSignal): Promise<Token>;
  version(signal: AbortSignal): Promise<VersionInfo>;
  close(): void;
}
