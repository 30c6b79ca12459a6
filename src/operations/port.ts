/**
 * What clients can ask of a cluster, apart from how they ask: gRPC and HTTP both call this, on any node. Requests and
 * answers are the messages of proto/cluster.proto. Failures are JarvisErrors.
 */
import type {
  CancelTaskRequest,
  ClusterStatus,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
  LogsRequest,
  Node,
  NodeRequest,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';

export interface CallContext {
  /** Who asks: part of every idempotency key. `anonymous` while authentication is off. */
  readonly principal: string;
  /** Aborted when the caller has gone or its deadline has passed. */
  readonly signal: AbortSignal;
  /** The request came from another node: it is answered here or refused, never sent on again. */
  readonly forwarded: boolean;
}

export interface ClusterOperations {
  submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse>;
  getTask(request: TaskRequest, context: CallContext): Promise<Task>;
  listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse>;
  cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task>;
  /** The task now and after each change, until it is terminal; changes in quick succession may be merged. */
  watchTask(request: TaskRequest, context: CallContext): AsyncIterable<Task>;
  readLogs(request: LogsRequest, context: CallContext): AsyncIterable<LogChunk>;
  listNodes(context: CallContext): Promise<ListNodesResponse>;
  getNode(request: NodeRequest, context: CallContext): Promise<Node>;
  getCluster(context: CallContext): Promise<ClusterStatus>;
  version(): VersionInfo;
}

/** `/healthz` and `/readyz`. */
export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in a sentence; empty when ready. */
  readonly reason: string;
}
