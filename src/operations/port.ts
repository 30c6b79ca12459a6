/**
 * What clients can ask of a cluster, apart from how they ask: gRPC and HTTP both call this, on any node. Requests and
 * answers are the messages of proto/cluster.proto. Failures are JarvisErrors.
 */
import type {
  Batch,
  CancelTaskRequest,
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
  GetJoinTokenRequest,
  ListAlertsRequest,
  ListAlertsResponse,
  ListJoinTokensResponse,
  TestAlertRequest,
  DrainNodeRequest,
  LabelNodeRequest,
  NodeChange,
  UndrainNodeRequest,
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
import type { Autoscaling } from '../model/autoscaling.ts';
import type { ScalingLoad, ScalingVerdict } from '../model/scaling.ts';
import type { LogLevelName } from '../lib/log.ts';
import type { LogChunk, ReadLogRequest, Usage } from '../generated/worker.ts';
import type { Webhook } from '../model/alerts.ts';

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

/** The state as a file (docs/disaster.md). */
export interface SnapshotSource {
  /**
   * At an index that is applied when it begins. Reads no faster than it is read from; ends where the signal is aborted.
   * @throws JarvisError too_many where one is being made already
   */
  save(signal: AbortSignal): AsyncIterable<SnapshotPiece>;
}

/** What an operator does to the membership, on the leader. Failures are JarvisErrors. */
export interface MembershipControl {
  /** Resolves once it is in force; what is so already is fine. */
  change(request: ChangeMemberRequest, signal: AbortSignal): Promise<void>;
  /** Resolves once another node leads. @param to empty: whoever is furthest with the log */
  transfer(to: string, signal: AbortSignal): Promise<void>;
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

/** The autoscaler of this node, whether it leads or not. */
export interface ScalingInsight {
  /** When the rules were looked at last, wall time; null: not since this node leads, or it does not. */
  readonly evaluatedAtMs: number | null;
  /** What they come to now. */
  preview(settings: Autoscaling): {
    readonly load: ScalingLoad;
    readonly size: { readonly active: number; readonly joining: number; readonly leaving: number };
    readonly decision: {
      readonly desired: number;
      readonly reason: string;
      readonly rules: readonly ScalingVerdict[];
    };
  };
}

/** A test of a webhook. */
export interface WebhookTest {
  readonly webhook: Webhook;
  readonly clusterId: string;
  /** Of the message. */
  readonly id: string;
  /** Who asks. */
  readonly principal: string;
  readonly signal: AbortSignal;
}

/** Sends to webhooks, signed and templated as alerts are. Never rejects. */
export type TestWebhook = (test: WebhookTest) => Promise<{
  /** For people; null: it was taken. */
  readonly failure: string | null;
  /** Of the answer; null: there was none. */
  readonly status: number | null;
}>;

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
  /** What a read with `isStale` is answered from, at least. */
  freshness(): Freshness;
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

/** How this node reaches the others; implemented over gRPC. */
export interface Remotes {
  /** @param address `host:port` */
  operations(address: string): RemoteOperations;
  /** The output of an attempt that ran on that node. @throws JarvisError unavailable, not_found */
  readLog(address: string, request: ReadLogRequest, context: CallContext): AsyncIterable<LogChunk>;
  /** What that node and its attempts use. @throws JarvisError unavailable, not_found */
  nodeUsage(address: string, request: NodeUsageRequest, context: CallContext): Promise<NodeUsage>;
  /** From which level on that node logs. @throws JarvisError unavailable */
  logLevel(address: string): {
    get(request: LogLevelRequest, context: CallContext): Promise<LogLevel>;
    set(request: SetLogLevelRequest, context: CallContext): Promise<LogLevel>;
  };
}

/** What is asked of a node about what is used on it. */
export interface UsageQuestion {
  /** Wall time: of histories what is older is left out; null: nothing. */
  readonly sinceMs: number | null;
  /** Attempts at most, the most demanding first; null: all. */
  readonly limit: number | null;
  /** That one alone, with its history; null: all, without. */
  readonly attempt: { readonly taskId: string; readonly assignment: number } | null;
}

/** What this node and the attempts that run on it use. */
export interface LocalUsage {
  /** @throws JarvisError not_found where the attempt does not run here, or nothing of it can be told */
  read(question: UsageQuestion): Promise<NodeUsage>;
}

/** From which level on this node logs. */
export interface LocalLogLevel {
  read(): LogLevel;
  /** @param forMs null: until the node is started again */
  set(level: LogLevelName, forMs: number | null): LogLevel;
}

/** The output of the attempts that ran on this node. */
export interface LocalLogs {
  /**
   * In the order in which it was written; with `follow` up to the attempt's end, also where it has yet to begin. An
   * attempt whose log is not there reads as empty, while it is followed. Ends quietly when the signal is aborted.
   * @throws JarvisError logs_unavailable where the log is gone; its message ends a sentence about the node
   */
  read(request: ReadLogRequest, signal: AbortSignal): AsyncIterable<LogChunk>;
}

export interface MemberInsight {
  readonly name: string;
  readonly raftId: number;
  readonly address: string;
  readonly role: 'voter' | 'learner';
  /** Votes in the only configuration, or in the incoming one; and in the one that is being left. */
  readonly incoming: boolean;
  readonly outgoing: boolean;
  readonly matchIndex: number;
  /** Progress as the leader sees it; unknown where this node does not lead. */
  readonly state: 'leader' | 'probe' | 'replicate' | 'snapshot' | 'unknown';
  /** Heard of within the last election timeout. */
  readonly active: boolean;
  readonly nextIndex: number;
  /** Messages with entries under way. */
  readonly inflight: number;
  readonly isPaused: boolean;
  /** Since it was last heard of; 0 for this node itself, null where it was not since this start. */
  readonly lastContactMs: number | null;
  readonly snapshot: {
    readonly index: number;
    readonly takenBytes: number;
    readonly totalBytes: number;
    /** Tries that failed since the last that was installed, and why the newest did. */
    readonly failures: number;
    readonly lastFailure: string | null;
  } | null;
  /** What its disk failed in, as it said before it stopped. */
  readonly lastWords: readonly DiskError[];
}

/** What this node knows of itself. Raft ids are 0 where there is none. */
export interface NodeFacts {
  readonly clusterId: string;
  readonly epoch: number;
  readonly raftId: number;
  readonly version: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'preCandidate';
  readonly term: number;
  readonly vote: number;
  readonly leader: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly uncommittedBytes: number;
  readonly log: {
    readonly segments: number;
    readonly bytes: number;
    readonly lastFsyncMs: number;
    readonly pending: number;
  };
  readonly diskErrors: readonly DiskError[];
  /** Replicas that made something else of the same log, by their Raft ids; null for none that is known. */
  readonly stateDifference: { readonly index: number; readonly digests: ReadonlyMap<number, string> } | null;
  /** What peers said that was refused, by reason, since the start. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Whom this leader hands leadership to. */
  readonly transferTarget: number;
  /** Voters of a joint configuration that become learners when it is left, and whether that needs no other word. */
  readonly learnersNext: readonly number[];
  readonly autoLeave: boolean;
}

/** A disk that failed, or did not give back what was written. */
export interface DiskError {
  /** A kind of StorageError, `condemned`, or `state_` and what is wrong with the store of the state. */
  readonly kind: string;
  readonly path: string;
  readonly message: string;
  readonly atMs: number;
}

/** What a node knows that stands in no state machine; of heartbeats and members' progress only the leader does. */
export interface ClusterInsight {
  /** Wall time of the node's newest heartbeat; null where none has come since this node leads. */
  lastHeartbeatMs(node: string): number | null;
  /**
   * For how long the node has been silent, as far as this leader can know, which is not before it led. Null where it does
   * not lead, or has not begun to listen.
   */
  silentMs(node: string): number | null;
  /** As of that heartbeat. */
  usage(node: string): Usage | null;
  commitIndex(): number;
  members(): readonly MemberInsight[];
  node(): NodeFacts;
}
