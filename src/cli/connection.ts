/**
 * What commands need from one peer: a method per operation. Answers and failures are as in `operations/port.ts`, so
 * every failure is a JarvisError. `grpc-connection.ts` is the implementation.
 */
import type {
  Batch,
  CancelTaskRequest,
  ChangeGroupRequest,
  ChangeMemberRequest,
  ClusterStatus,
  Dag,
  GetClusterRequest,
  GroupRequest,
  ListBatchesResponse,
  ListDagsResponse,
  ListGroupsRequest,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
  LogsRequest,
  Node,
  NodeRequest,
  RemoveNodeRequest,
  RemoveNodeResponse,
  SnapshotPiece,
  SubmitBatchRequest,
  SubmitBatchResponse,
  SubmitDagRequest,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
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
  version(signal: AbortSignal): Promise<VersionInfo>;
  close(): void;
}
