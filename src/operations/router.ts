/**
 * Any node answers any request: the leader itself, the others by sending it on (`leader-route.ts`). Every write carries an
 * idempotency key, so that it may be sent again without happening twice.
 */
import type {
  CancelTaskRequest,
  ChangeMemberRequest,
  ClusterSettings,
  ClusterStatus,
  EventsPiece,
  EventsRequest,
  Explanation,
  GetClusterRequest,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
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
  SnapshotPiece,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskPlan,
  TaskRequest,
  TaskSpec,
  TaskUsage,
  TaskUsageRequest,
  TransferLeadershipRequest,
  UpdateTaskRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isTerminal } from '../model/phases.ts';
import type { TaskStatus } from '../model/task.ts';
import { isStale } from './cluster-reports.ts';
import { expectKnownVariables } from './earlier-members.ts';
import { createWithSecret } from './join-tokens.ts';
import { isOutcomeUnknown, LeaderRoute, Tries, type LeaderRouteOptions } from './leader-route.ts';
import { readTaskLogs } from './logs.ts';
import type { LocalLogLevel, LocalLogs, LocalUsage, Knowledge, Remotes } from './node-port.ts';
import type {
  AcceptedTasks,
  CallContext,
  ClusterOperations,
  Freshness,
  GroupOperations,
  AlertOperations,
  ScalingOperations,
  JoinTokenOperations,
  NodeOperations,
  TokenOperations,
} from './port.ts';
import { getLogLevel, setLogLevel } from './log-level.ts';
import { nodeUsage, taskUsage } from './usage.ts';

/** Events, from this node's own copy of the state or another's. */
export interface Events {
  read(request: EventsRequest, context: CallContext): AsyncIterable<EventsPiece>;
}

export interface RouterOptions extends LeaderRouteOptions {
  readonly knowledge: Knowledge;
  readonly events: Events;
  readonly remotes: Remotes;
  readonly localLogs: LocalLogs;
  readonly localUsage: LocalUsage;
  readonly localLogLevel: LocalLogLevel;
  /** Makes idempotency keys: never the same twice. */
  readonly uniqueId: () => string;
  /** Of the cluster's certificate authority; null, or absent: the node has no TLS. */
  readonly authorityHash?: () => string | null;
  readonly version: VersionInfo;
  readonly freshness: () => Freshness | null;
}

type Named = GroupOperations & NodeOperations & TokenOperations & JoinTokenOperations & AlertOperations;
type NamedWrite = {
  [K in keyof Named]: Parameters<Named[K]>[0] extends { idempotency_key: string } ? K : never;
}[keyof Named];

export class RoutingOperations implements ClusterOperations {
  readonly #options: RouterOptions;
  readonly #leader: LeaderRoute;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#leader = new LeaderRoute(options);
  }

  async submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse> {
    this.#expectKnown(request.tasks);
    const keyed = this.#withKey(request);
    return await this.#leader.write(context, (operations, inner) => operations.submitTasks(keyed, inner));
  }

  async acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    this.#expectKnown(request.tasks);
    const keyed = this.#withKey(request);
    return await this.#leader.write(context, (operations, inner) => operations.acceptTasks(keyed, inner));
  }

  cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations, inner) => operations.cancelTask(keyed, inner));
  }

  retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations, inner) => operations.retryTask(keyed, inner));
  }

  updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations, inner) => operations.updateTask(keyed, inner));
  }

  removeNode(request: RemoveNodeRequest, context: CallContext): Promise<RemoveNodeResponse> {
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations, inner) => operations.removeNode(keyed, inner));
  }

  getTask(request: TaskRequest, context: CallContext): Promise<Task> {
    return this.#leader.read(context, (operations, inner) => operations.getTask(request, inner));
  }

  explainTask(request: TaskRequest, context: CallContext): Promise<Explanation> {
    return this.#leader.read(context, (operations, inner) => operations.explainTask(request, inner));
  }

  planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan> {
    return this.#leader.read(context, (operations, inner) => operations.planTasks(request, inner));
  }

  listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse> {
    return this.#leader.read(context, (operations, inner) => operations.listTasks(request, inner));
  }

  listNodes(context: CallContext): Promise<ListNodesResponse> {
    return this.#leader.read(context, (operations, inner) => operations.listNodes(inner));
  }

  getNode(request: NodeRequest, context: CallContext): Promise<Node> {
    return this.#leader.read(context, (operations, inner) => operations.getNode(request, inner));
  }

  readonly submitBatch: GroupOperations['submitBatch'] = async (request, context) => {
    this.#expectKnown([...request.tasks, request.template]);
    return await this.#submitBatch(request, context);
  };
  readonly #submitBatch = this.#writing('submitBatch');
  readonly cancelBatch = this.#writing('cancelBatch');
  readonly retryBatch = this.#writing('retryBatch');
  readonly submitDag: GroupOperations['submitDag'] = async (request, context) => {
    this.#expectKnown(request.tasks.map(({ task }) => task));
    return await this.#submitDag(request, context);
  };
  readonly #submitDag = this.#writing('submitDag');
  readonly cancelDag = this.#writing('cancelDag');
  readonly retryDag = this.#writing('retryDag');
  readonly cordonNode = this.#writing('cordonNode');
  readonly drainNode = this.#writing('drainNode');
  readonly undrainNode = this.#writing('undrainNode');
  readonly labelNode = this.#writing('labelNode');
  readonly createToken = this.#writing('createToken');
  readonly revokeToken = this.#writing('revokeToken');
  readonly deleteJoinToken = this.#writing('deleteJoinToken');
  readonly createJoinToken: JoinTokenOperations['createJoinToken'] = (request, context) =>
    createWithSecret(request, this.#options.authorityHash?.() ?? null, (withHash) =>
      this.#createJoinToken(withHash, context),
    );
  readonly listJoinTokens: JoinTokenOperations['listJoinTokens'] = (context) =>
    this.#leader.read(context, (operations, inner) => operations.listJoinTokens(inner));
  readonly getJoinToken: JoinTokenOperations['getJoinToken'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.getJoinToken(request, inner));
  readonly testAlert = this.#writing('testAlert');
  readonly getAutoscaler: ScalingOperations['getAutoscaler'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.getAutoscaler(request, inner));
  readonly listScalingDecisions: ScalingOperations['listScalingDecisions'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.listScalingDecisions(request, inner));
  readonly listAlerts: AlertOperations['listAlerts'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.listAlerts(request, inner));
  readonly #createJoinToken = this.#writing('createJoinToken');
  readonly getBatch: GroupOperations['getBatch'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.getBatch(request, inner));
  readonly listBatches: GroupOperations['listBatches'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.listBatches(request, inner));
  readonly getDag: GroupOperations['getDag'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.getDag(request, inner));
  readonly listDags: GroupOperations['listDags'] = (request, context) =>
    this.#leader.read(context, (operations, inner) => operations.listDags(request, inner));

  readonly listTokens: TokenOperations['listTokens'] = (context) =>
    this.#leader.read(context, (operations, inner) => operations.listTokens(inner));

  /** Whoever asks for the state of the cluster wants to hear soon that it has no leader. */
  async getCluster(request: GetClusterRequest, context: CallContext): Promise<ClusterStatus> {
    const { clock, staleReads } = this.#options;
    if (isStale(request.consistency) || context.isStale === true)
      return await staleReads.read(context, (operations, inner) => operations.getCluster(request, inner));
    const timeout = new AbortController();
    const error = new JarvisError('unavailable', 'the leader does not answer');
    const cancel = clock.after(limits.statusTimeoutMs, () => timeout.abort(error));
    const soon = { ...context, signal: AbortSignal.any([context.signal, timeout.signal]) };
    const tries = new Tries(clock, limits.statusLeaderWaitMs);
    try {
      return await this.#leader.read(
        soon,
        (operations, inner) => operations.getCluster(request, inner),
        tries,
      );
    } finally {
      cancel();
    }
  }

  changeMember(request: ChangeMemberRequest, context: CallContext): Promise<ClusterStatus> {
    let mayBeDone = false;
    return this.#leader.write(context, async (operations, inner) => {
      try {
        return await operations.changeMember(request, inner);
      } catch (error) {
        const isGone = error instanceof JarvisError && error.code === 'not_found';
        // Removed by an earlier try of this request whose answer was lost.
        if (isGone && mayBeDone && request.action === 'remove')
          return await operations.getCluster({ consistency: '' }, inner);
        mayBeDone ||= isOutcomeUnknown(error);
        throw error;
      }
    });
  }

  transferLeadership(request: TransferLeadershipRequest, context: CallContext): Promise<ClusterStatus> {
    // In the outer context: that another node leads is what is waited for, and no reason to give up.
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations) => operations.transferLeadership(keyed, context));
  }

  getConfig(context: CallContext): Promise<ClusterSettings> {
    return this.#leader.read(context, (operations, inner) => operations.getConfig(inner));
  }

  setConfig(request: SetConfigRequest, context: CallContext): Promise<ClusterSettings> {
    const keyed = this.#withKey(request);
    return this.#leader.write(context, (operations, inner) => operations.setConfig(keyed, inner));
  }

  /** Begun anew for as long as nothing of it has come; what breaks in the middle is for the caller to ask for again. */
  async *saveSnapshot(context: CallContext): AsyncGenerator<SnapshotPiece, void> {
    const tries = new Tries(this.#options.clock);
    for (;;) {
      let hasBegun = false;
      try {
        const operations = await this.#leader.target(context, tries);
        for await (const piece of operations.saveSnapshot(context)) {
          hasBegun = true;
          yield piece;
        }
        return;
      } catch (error) {
        if (hasBegun) throw error;
        await this.#leader.beforeRetry(context, tries, error);
      }
    }
  }

  version(): VersionInfo {
    return this.#options.version;
  }

  freshness(): Freshness | null {
    return this.#options.freshness();
  }

  async *watchTask(request: TaskRequest, context: CallContext): AsyncGenerator<Task, void> {
    let known = null as Task | null;
    let tries = new Tries(this.#options.clock);
    for (;;) {
      try {
        const operations = await this.#leader.target(context, tries);
        using call = this.#leader.callOf(context, tries, operations);
        for await (const task of operations.watchTask({ id: known?.id ?? request.id }, call.context)) {
          tries = tries.anew();
          // A new stream begins with the task as it is, which need not be news.
          if (known === null || JSON.stringify(known) !== JSON.stringify(task)) yield task;
          known = task;
          if (isTerminal(task.status as TaskStatus)) return;
        }
        throw new JarvisError('unavailable', 'the stream of changes ended early');
      } catch (error) {
        await this.#leader.beforeRetry(context, tries, error);
      }
    }
  }

  readLogs(request: LogsRequest, context: CallContext): AsyncIterable<LogChunk> {
    const { remotes, localLogs, clock, leaders } = this.#options;
    return readTaskLogs(
      { operations: this, remotes, localLogs, clock, nodeName: leaders.nodeName },
      request,
      context,
    );
  }

  getNodeUsage(request: NodeUsageRequest, context: CallContext): Promise<NodeUsage> {
    return nodeUsage({ ...this.#options, operations: this }, request, context);
  }

  getLogLevel(request: LogLevelRequest, context: CallContext): Promise<LogLevel> {
    return getLogLevel({ ...this.#options, operations: this }, request, context);
  }

  setLogLevel(request: SetLogLevelRequest, context: CallContext): Promise<LogLevel> {
    return setLogLevel({ ...this.#options, operations: this }, request, context);
  }

  getTaskUsage(request: TaskUsageRequest, context: CallContext): Promise<TaskUsage> {
    return taskUsage({ ...this.#options, operations: this }, request, context);
  }

  watchEvents(request: EventsRequest, context: CallContext): AsyncIterable<EventsPiece> {
    return this.#options.events.read(request, context);
  }

  /** A write of that name, with a key of its own where its caller has none. */
  #writing<K extends NamedWrite>(name: K): Named[K] {
    const write = (request: { readonly idempotency_key: string }, context: CallContext): Promise<unknown> => {
      const keyed = this.#withKey(request);
      // One name, one type of request and of answer.
      return this.#leader.write<unknown>(context, (operations, inner) =>
        operations[name](keyed as never, inner),
      );
    };
    return write as Named[K];
  }

  #expectKnown(tasks: readonly (TaskSpec | undefined)[]): void {
    const cluster = this.#options.knowledge.cluster();
    // Without a copy of the state it is for the leader to say.
    if (cluster !== undefined) expectKnownVariables(cluster, tasks);
  }

  /** The answer to a caller without a key must still be safe to repeat from here. */
  #withKey<T extends { readonly idempotency_key?: string | undefined }>(request: T): T {
    return request.idempotency_key === undefined || request.idempotency_key === ''
      ? { ...request, idempotency_key: this.#options.uniqueId() }
      : request;
  }
}
