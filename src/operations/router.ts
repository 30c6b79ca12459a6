/**
 * Any node answers any request: the leader itself, the others by sending it on. A change of leader in between is waited
 * out for a bounded time. Every write carries an idempotency key, so that it may be sent again without happening twice.
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
  TaskUsage,
  TaskUsageRequest,
  TransferLeadershipRequest,
  UpdateTaskRequest,
  VersionInfo,
} from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { onAbort } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isTerminal } from '../model/phases.ts';
import type { TaskStatus } from '../model/task.ts';
import type { Leadership, Replica } from '../scheduler/ports.ts';
import { isStale } from './cluster-reports.ts';
import { EventStreams } from './events.ts';
import { createWithSecret } from './join-tokens.ts';
import { readTaskLogs } from './logs.ts';
import type {
  AcceptedTasks,
  CallContext,
  ClusterOperations,
  Freshness,
  GroupOperations,
  AlertOperations,
  ScalingOperations,
  JoinTokenOperations,
  LocalLogLevel,
  LocalLogs,
  LocalUsage,
  NodeOperations,
  RemoteOperations,
  Remotes,
  TokenOperations,
} from './port.ts';
import { getLogLevel, setLogLevel } from './log-level.ts';
import { nodeUsage, taskUsage } from './usage.ts';
import { pause, throwIfAborted } from './waiting.ts';

export interface RouterOptions {
  readonly replica: Replica;
  /** This node's own answers, asked while it leads. */
  readonly local: RemoteOperations;
  readonly remotes: Remotes;
  readonly localLogs: LocalLogs;
  readonly localUsage: LocalUsage;
  readonly localLogLevel: LocalLogLevel;
  readonly clock: Clock;
  /** Makes idempotency keys: never the same twice. */
  readonly uniqueId: () => string;
  /** Of the cluster's certificate authority; null, or absent: the node has no TLS. */
  readonly authorityHash?: () => string | null;
  readonly version: VersionInfo;
  readonly freshness: () => Freshness;
}

/** After these, asking again may do: nothing has happened, or an idempotency key keeps it from happening twice. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['no_leader', 'unavailable', 'timeout', 'outcome_unknown']);
/** After these, a write may have happened. */
const UNKNOWN: ReadonlySet<ErrorCode> = new Set(['timeout', 'outcome_unknown']);
const MAX_RETRY_MS = 500;

type Named = GroupOperations & NodeOperations & TokenOperations & JoinTokenOperations & AlertOperations;
type NamedWrite = {
  [K in keyof Named]: Parameters<Named[K]>[0] extends { idempotency_key: string } ? K : never;
}[keyof Named];

type Call<T> = (operations: RemoteOperations, context: CallContext) => Promise<T>;

export class RoutingOperations implements ClusterOperations {
  readonly #options: RouterOptions;
  readonly #events: EventStreams;

  constructor(options: RouterOptions) {
    this.#options = options;
    const newestIndex = async (context: CallContext): Promise<number> =>
      (await this.getCluster({ consistency: '' }, context)).applied_index;
    this.#events = new EventStreams({ replica: options.replica, clock: options.clock, newestIndex });
  }

  submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.submitTasks(keyed, inner));
  }

  acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.acceptTasks(keyed, inner));
  }

  cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.cancelTask(keyed, inner));
  }

  retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.retryTask(keyed, inner));
  }

  updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.updateTask(keyed, inner));
  }

  removeNode(request: RemoveNodeRequest, context: CallContext): Promise<RemoveNodeResponse> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.removeNode(keyed, inner));
  }

  getTask(request: TaskRequest, context: CallContext): Promise<Task> {
    return this.#read(context, (operations, inner) => operations.getTask(request, inner));
  }

  explainTask(request: TaskRequest, context: CallContext): Promise<Explanation> {
    return this.#read(context, (operations, inner) => operations.explainTask(request, inner));
  }

  planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan> {
    return this.#read(context, (operations, inner) => operations.planTasks(request, inner));
  }

  listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse> {
    return this.#read(context, (operations, inner) => operations.listTasks(request, inner));
  }

  listNodes(context: CallContext): Promise<ListNodesResponse> {
    return this.#read(context, (operations, inner) => operations.listNodes(inner));
  }

  getNode(request: NodeRequest, context: CallContext): Promise<Node> {
    return this.#read(context, (operations, inner) => operations.getNode(request, inner));
  }

  readonly submitBatch = this.#writing('submitBatch');
  readonly cancelBatch = this.#writing('cancelBatch');
  readonly retryBatch = this.#writing('retryBatch');
  readonly submitDag = this.#writing('submitDag');
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
    this.#read(context, (operations, inner) => operations.listJoinTokens(inner));
  readonly getJoinToken: JoinTokenOperations['getJoinToken'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.getJoinToken(request, inner));
  readonly testAlert = this.#writing('testAlert');
  readonly getAutoscaler: ScalingOperations['getAutoscaler'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.getAutoscaler(request, inner));
  readonly listScalingDecisions: ScalingOperations['listScalingDecisions'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.listScalingDecisions(request, inner));
  readonly listAlerts: AlertOperations['listAlerts'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.listAlerts(request, inner));
  readonly #createJoinToken = this.#writing('createJoinToken');
  readonly getBatch: GroupOperations['getBatch'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.getBatch(request, inner));
  readonly listBatches: GroupOperations['listBatches'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.listBatches(request, inner));
  readonly getDag: GroupOperations['getDag'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.getDag(request, inner));
  readonly listDags: GroupOperations['listDags'] = (request, context) =>
    this.#read(context, (operations, inner) => operations.listDags(request, inner));

  readonly listTokens: TokenOperations['listTokens'] = (context) =>
    this.#read(context, (operations, inner) => operations.listTokens(inner));

  /** Whoever asks for the state of the cluster wants to hear soon that it has no leader. */
  async getCluster(request: GetClusterRequest, context: CallContext): Promise<ClusterStatus> {
    const { clock, local } = this.#options;
    if (isStale(request.consistency) || context.isStale === true)
      return await local.getCluster(request, context);
    const timeout = new AbortController();
    const error = new JarvisError('unavailable', 'the leader does not answer');
    const cancel = clock.after(limits.statusTimeoutMs, () => timeout.abort(error));
    const soon = { ...context, signal: AbortSignal.any([context.signal, timeout.signal]) };
    const tries = new Tries(clock, limits.statusLeaderWaitMs);
    try {
      return await this.#read(soon, (operations, inner) => operations.getCluster(request, inner), tries);
    } finally {
      cancel();
    }
  }

  changeMember(request: ChangeMemberRequest, context: CallContext): Promise<ClusterStatus> {
    let mayBeDone = false;
    return this.#write(context, async (operations, inner) => {
      try {
        return await operations.changeMember(request, inner);
      } catch (error) {
        const isGone = error instanceof JarvisError && error.code === 'not_found';
        // Removed by an earlier try of this request whose answer was lost.
        if (isGone && mayBeDone && request.action === 'remove')
          return await operations.getCluster({ consistency: '' }, inner);
        mayBeDone ||= error instanceof JarvisError && UNKNOWN.has(error.code);
        throw error;
      }
    });
  }

  transferLeadership(request: TransferLeadershipRequest, context: CallContext): Promise<ClusterStatus> {
    // In the outer context: that another node leads is what is waited for, and no reason to give up.
    const keyed = this.#withKey(request);
    return this.#write(context, (operations) => operations.transferLeadership(keyed, context));
  }

  getConfig(context: CallContext): Promise<ClusterSettings> {
    return this.#read(context, (operations, inner) => operations.getConfig(inner));
  }

  setConfig(request: SetConfigRequest, context: CallContext): Promise<ClusterSettings> {
    const keyed = this.#withKey(request);
    return this.#write(context, (operations, inner) => operations.setConfig(keyed, inner));
  }

  /** Begun anew for as long as nothing of it has come; what breaks in the middle is for the caller to ask for again. */
  async *saveSnapshot(context: CallContext): AsyncGenerator<SnapshotPiece, void> {
    const tries = new Tries(this.#options.clock);
    for (;;) {
      let hasBegun = false;
      try {
        const operations = await this.#target(context, tries);
        for await (const piece of operations.saveSnapshot(context)) {
          hasBegun = true;
          yield piece;
        }
        return;
      } catch (error) {
        if (hasBegun) throw error;
        await this.#beforeRetry(context, tries, error);
      }
    }
  }

  version(): VersionInfo {
    return this.#options.version;
  }

  freshness(): Freshness {
    return this.#options.freshness();
  }

  async *watchTask(request: TaskRequest, context: CallContext): AsyncGenerator<Task, void> {
    let known = null as Task | null;
    let tries = new Tries(this.#options.clock);
    for (;;) {
      try {
        const operations = await this.#target(context, tries);
        using call = this.#callOf(context, tries, operations);
        for await (const task of operations.watchTask({ id: known?.id ?? request.id }, call.context)) {
          tries = tries.anew();
          // A new stream begins with the task as it is, which need not be news.
          if (known === null || JSON.stringify(known) !== JSON.stringify(task)) yield task;
          known = task;
          if (isTerminal(task.status as TaskStatus)) return;
        }
        throw new JarvisError('unavailable', 'the stream of changes ended early');
      } catch (error) {
        await this.#beforeRetry(context, tries, error);
      }
    }
  }

  readLogs(request: LogsRequest, context: CallContext): AsyncIterable<LogChunk> {
    const { remotes, localLogs, clock, replica } = this.#options;
    return readTaskLogs(
      { operations: this, remotes, localLogs, clock, nodeName: replica.nodeName },
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
    return this.#events.read(request, context);
  }

  /** A write of that name, with a key of its own where its caller has none. */
  #writing<K extends NamedWrite>(name: K): Named[K] {
    const write = (request: { readonly idempotency_key: string }, context: CallContext): Promise<unknown> => {
      const keyed = this.#withKey(request);
      // One name, one type of request and of answer.
      return this.#write<unknown>(context, (operations, inner) => operations[name](keyed as never, inner));
    };
    return write as Named[K];
  }

  async #read<T>(context: CallContext, call: Call<T>, tries = new Tries(this.#options.clock)): Promise<T> {
    if (context.isStale === true) return await call(this.#options.local, context);
    for (;;) {
      try {
        return await this.#ask(context, tries, call);
      } catch (error) {
        await this.#beforeRetry(context, tries, error);
      }
    }
  }

  async #write<T>(context: CallContext, call: Call<T>): Promise<T> {
    const tries = new Tries(this.#options.clock);
    let unknown: JarvisError | null = null;
    for (;;) {
      try {
        return await this.#ask(context, tries, call);
      } catch (error) {
        if (error instanceof JarvisError && UNKNOWN.has(error.code)) unknown = error;
        try {
          await this.#beforeRetry(context, tries, error);
        } catch (final) {
          if (unknown === null || !isRetryable(final)) throw final;
          const message = 'it is not known whether the request was carried out: ask before sending it anew';
          throw new JarvisError('outcome_unknown', message, { cause: unknown });
        }
      }
    }
  }

  async #ask<T>(context: CallContext, tries: Tries, call: Call<T>): Promise<T> {
    const operations = await this.#target(context, tries);
    if (operations === this.#options.local) return await call(operations, context);
    using remote = this.#callOf(context, tries, operations);
    return await call(operations, remote.context);
  }

  /**
   * A leader that is stopped or cut off takes a request and does not answer it: it is given up as soon as this node
   * knows that another one leads, not when its connection is found dead.
   */
  #callOf(
    context: CallContext,
    { asked }: Tries,
    operations: RemoteOperations,
  ): Disposable & { readonly context: CallContext } {
    if (operations === this.#options.local) return { context, [Symbol.dispose]: () => undefined };
    const controller = new AbortController();
    const giveUp = (): void => controller.abort(context.signal.reason);
    const stopListening = onAbort(context.signal, giveUp);
    if (context.signal.aborted) giveUp();
    const unsubscribe = this.#options.replica.onLeadership((now) => {
      if (isOvertaken(asked, now)) controller.abort(new JarvisError('unavailable', 'another node leads'));
    });
    return {
      context: { ...context, signal: controller.signal },
      [Symbol.dispose]: () => {
        unsubscribe();
        stopListening();
      },
    };
  }

  /** The answer to a caller without a key must still be safe to repeat from here. */
  #withKey<T extends { readonly idempotency_key?: string | undefined }>(request: T): T {
    return request.idempotency_key === undefined || request.idempotency_key === ''
      ? { ...request, idempotency_key: this.#options.uniqueId() }
      : request;
  }

  /** Who answers now. @throws JarvisError no_leader where there is none for a while, or at once for a forwarded call */
  async #target(context: CallContext, tries: Tries): Promise<RemoteOperations> {
    const { replica, clock, local, remotes } = this.#options;
    const patienceMs = Math.min(limits.leaderWaitMs, tries.remainingMs());
    const giveUpMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      throwIfAborted(context.signal);
      const now = replica.leadership();
      const { isLeader, leader } = now;
      tries.asked = now;
      if (isLeader) return local;
      // Elected, and about to lead: who is sent here is right.
      const isElected = leader?.name === replica.nodeName;
      // Never sent on again: two nodes that take each other for the leader would play ball.
      if (context.forwarded && !isElected)
        throw new JarvisError('no_leader', `${replica.nodeName} does not lead`);
      if (leader !== null && !isElected) return remotes.operations(leader.address);
      const leftMs = giveUpMs - clock.monotonicMs();
      if (leftMs <= 0) throw new JarvisError('no_leader', 'the cluster has no leader at present');
      await pause(clock, leftMs, context.signal, (wake) => replica.onLeadership(wake));
    }
  }

  /** Waits a little where asking again makes sense, otherwise throws the error. */
  async #beforeRetry(context: CallContext, tries: Tries, error: unknown): Promise<void> {
    const { clock, replica } = this.#options;
    if (context.signal.aborted || context.forwarded || !isRetryable(error)) throw error;
    if ((error.retryAfterMs ?? 0) > tries.remainingMs()) throw error;
    if (tries.remainingMs() > 0 && isOvertaken(tries.asked, replica.leadership())) return;
    const delayMs = tries.nextDelayMs();
    if (delayMs >= tries.remainingMs()) throw error;
    const before = replica.leadership();
    await pause(clock, delayMs, context.signal, (wake) =>
      replica.onLeadership((now) => {
        if (!sameLeader(before, now)) wake();
      }),
    );
  }
}

/** The time that all tries of one request may take together. */
class Tries {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  #delayMs: number = limits.routeRetryMs;
  /** What was known of the leadership when the present try chose whom to ask. */
  asked: Leadership | null = null;

  constructor(clock: Clock, timeoutMs: number = limits.routeTimeoutMs) {
    this.#clock = clock;
    this.#deadlineMs = clock.monotonicMs() + timeoutMs;
  }

  /** For a request that has come further: it may take the whole time again. */
  anew(): Tries {
    const tries = new Tries(this.#clock);
    tries.asked = this.asked;
    return tries;
  }

  remainingMs(): number {
    return Math.max(0, this.#deadlineMs - this.#clock.monotonicMs());
  }

  nextDelayMs(): number {
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, MAX_RETRY_MS);
    return delayMs;
  }
}

function isRetryable(error: unknown): error is JarvisError {
  return error instanceof JarvisError && RETRYABLE.has(error.code);
}

/** Somebody else leads, or is about to, than when it was asked. */
function isOvertaken(asked: Leadership | null, now: Leadership): boolean {
  return asked !== null && now.leader !== null && !sameLeader(asked, now);
}

function sameLeader(before: Leadership, now: Leadership): boolean {
  return before.isLeader === now.isLeader && before.leader?.name === now.leader?.name;
}
