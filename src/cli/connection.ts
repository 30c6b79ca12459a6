/**
 * What commands need from one peer: a method per operation. Answers and failures are as in `operations/port.ts`, so
 * every failure is a JarvisError. `grpc-connection.ts` is the implementation.
 */
import type {
  CancelTaskRequest,
  ChangeMemberRequest,
  ClusterStatus,
  Explanation,
  GetClusterRequest,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
  LogsRequest,
  Node,
  NodeRequest,
  PlanRequest,
  RemoveNodeRequest,
  RemoveNodeResponse,
  SnapshotPiece,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskPlan,
  TaskRequest,
  TransferLeadershipRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

export interface ClusterConnection {
  readonly address: string;
  /** Resolves once the peer has accepted the connection. @throws JarvisError unavailable */
  connect(timeoutMs: number, signal: AbortSignal): Promise<void>;
  submitTasks(request: SubmitTasksRequest, signal: AbortSignal): Promise<SubmitTasksResponse>;
  getTask(request: TaskRequest, signal: AbortSignal): Promise<Task>;
  explainTask(request: TaskRequest, signal: AbortSignal): Promise<Explanation>;
  planTasks(request: PlanRequest, signal: AbortSignal): Promise<TaskPlan>;
  listTasks(request: ListTasksRequest, signal: AbortSignal): Promise<ListTasksResponse>;
  cancelTask(request: CancelTaskRequest, signal: AbortSignal): Promise<Task>;
  watchTask(request: TaskRequest, signal: AbortSignal): AsyncIterable<Task>;
  readLogs(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogChunk>;
  getNode(request: NodeRequest, signal: AbortSignal): Promise<Node>;
  removeNode(request: RemoveNodeRequest, signal: AbortSignal): Promise<RemoveNodeResponse>;
  listNodes(signal: AbortSignal): Promise<ListNodesResponse>;
  getCluster(request: GetClusterRequest, signal: AbortSignal): Promise<ClusterStatus>;
  changeMember(request: ChangeMemberRequest, signal: AbortSignal): Promise<ClusterStatus>;
  transferLeadership(request: TransferLeadershipRequest, signal: AbortSignal): Promise<ClusterStatus>;
  saveSnapshot(signal: AbortSignal): AsyncIterable<SnapshotPiece>;
  version(signal: AbortSignal): Promise<VersionInfo>;
  close(): void;
}
