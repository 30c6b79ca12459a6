/** What clients can ask of a cluster, answered by the leader from its own state. */
import type {
  CancelTaskRequest,
  ChangeMemberRequest,
  ClusterSettings,
  ClusterStatus,
  Explanation,
  GetClusterRequest,
  ListNodesResponse,
  ListTasksRequest,
  ListTasksResponse,
  Node,
  NodeRequest,
  PlanRequest,
  RemoveNodeRequest,
  RemoveNodeResponse,
  SetConfigRequest,
  RetryTaskRequest,
  SnapshotPiece,
  SubmitTasksRequest,
  SubmitTasksResponse,
  Task,
  TaskPlan,
  TaskRequest,
  TransferLeadershipRequest,
  UpdateTaskRequest,
} from '../generated/cluster.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import type { IdempotencyKey, Outcome } from '../model/commands.ts';
import type { NodeRow } from '../model/node.ts';
import type { RemoveNodeResult } from '../scheduler/core/apply/remove-node.ts';
import type { Replica } from '../scheduler/ports.ts';
import type { ClusterInsight, ScalingInsight } from './insight.ts';
import type { MembershipControl, Remotes, SnapshotSource, TestWebhook } from './node-port.ts';
import type {
  AcceptedTasks,
  CallContext,
  GroupOperations,
  AlertOperations,
  ScalingOperations,
  JoinTokenOperations,
  JoinTokenUser,
  NodeOperations,
  RemoteOperations,
  TokenOperations,
} from './port.ts';
import { LocalGroups, type LeaderCalls } from './groups.ts';
import { LocalAlerts } from './alerts.ts';
import { LocalScaling } from './scaling.ts';
import { LocalJoinTokens } from './join-tokens.ts';
import { MembershipRequests } from './membership-requests.ts';
import { LocalNodes } from './node-changes.ts';
import { expectSilent, expectStopped, namedNode, roleOf } from './nodes.ts';
import { LocalSettings } from './settings.ts';
import { errorOfRefusal } from './refusals.ts';
import { idempotencyOf } from './requests.ts';
import { LocalTokens } from './tokens.ts';
import { isStale, withReports } from './cluster-reports.ts';
import { clusterView } from './cluster-view.ts';
import { memberRoles, nodeView } from './views.ts';
import { abortError, orAborted, throwIfAborted } from './waiting.ts';
import { notLeading } from './absent.ts';
import { LocalTasks } from './local-tasks.ts';

export class LocalOperations implements RemoteOperations {
  readonly #replica: Replica;
  readonly #insight: ClusterInsight;
  readonly #membership: MembershipRequests;
  readonly #snapshots: SnapshotSource;
  readonly #remotes: Pick<Remotes, 'operations'>;
  readonly #tasks: LocalTasks;
  readonly #groups: LocalGroups;
  readonly #nodes: LocalNodes;
  readonly #tokens: LocalTokens;
  readonly #settings: LocalSettings;
  readonly #joinTokens: LocalJoinTokens;
  readonly #alerts: LocalAlerts;
  readonly #scaling: LocalScaling;

  constructor(options: {
    replica: Replica;
    insight: ClusterInsight;
    membership: MembershipControl;
    snapshots: SnapshotSource;
    remotes: Pick<Remotes, 'operations'>;
    clock: Pick<Clock, 'wallMs'>;
    testWebhook: TestWebhook;
    scaling: ScalingInsight;
  }) {
    const { replica, insight } = options;
    this.#replica = replica;
    this.#insight = insight;
    this.#snapshots = options.snapshots;
    this.#remotes = options.remotes;
    const calls: LeaderCalls = {
      replica,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
      isRemembered: (idempotency) => this.#isRemembered(idempotency),
    };
    this.#membership = new MembershipRequests({ ...calls, membership: options.membership });
    this.#groups = new LocalGroups(calls);
    this.#tasks = new LocalTasks(calls, { groups: this.#groups, insight });
    this.#nodes = new LocalNodes({ ...calls, viewOf: (node) => this.#node(node) });
    this.#tokens = new LocalTokens(calls);
    this.#settings = new LocalSettings({ ...calls, insight });
    this.#scaling = new LocalScaling({ ...calls, insight: options.scaling });
    this.#alerts = new LocalAlerts({ ...calls, test: options.testWebhook });
    this.#joinTokens = new LocalJoinTokens({
      ...calls,
      insight,
      nowMs: () => Math.max(replica.state.cluster?.timeMs ?? 0, options.clock.wallMs()),
    });
  }

  submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse> {
    return this.#tasks.submitTasks(request, context);
  }

  acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    return this.#tasks.acceptTasks(request, context);
  }

  getTask(request: TaskRequest, context: CallContext): Promise<Task> {
    return this.#tasks.getTask(request, context);
  }

  explainTask(request: TaskRequest, context: CallContext): Promise<Explanation> {
    return this.#tasks.explainTask(request, context);
  }

  planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan> {
    return this.#tasks.planTasks(request, context);
  }

  listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse> {
    return this.#tasks.listTasks(request, context);
  }

  cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task> {
    return this.#tasks.cancelTask(request, context);
  }

  retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task> {
    return this.#tasks.retryTask(request, context);
  }

  updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task> {
    return this.#tasks.updateTask(request, context);
  }

  watchTask(request: TaskRequest, context: CallContext): AsyncGenerator<Task, void> {
    return this.#tasks.watchTask(request, context);
  }

  async listNodes(context: CallContext): Promise<ListNodesResponse> {
    await this.#barrier(context);
    const nodes = [...this.#replica.state.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const roles = memberRoles(this.#insight);
    return { items: nodes.map((node) => this.#node(node, roles)), next_cursor: '' };
  }

  async getNode(request: NodeRequest, context: CallContext): Promise<Node> {
    await this.#barrier(context);
    return this.#node(namedNode(this.#replica.state, request.name));
  }

  async removeNode(request: RemoveNodeRequest, context: CallContext): Promise<RemoveNodeResponse> {
    await this.#barrier(context);
    const { name, dead, idempotency_key: key } = request;
    const { principal } = context;
    const { idempotency } = idempotencyOf({
      principal,
      route: 'DELETE /nodes',
      key,
      content: { name, dead },
    });
    // One that was carried out, and is repeated, gets its answer: the node is not there any more.
    const isKnown = await this.#isRemembered(idempotency);
    const node = isKnown ? null : namedNode(this.#replica.state, name);
    if (node !== null && dead) expectSilent(this.#replica.state, this.#insight, node);
    else if (node !== null) expectStopped(this.#replica.state, this.#insight, node);
    throwIfAborted(context.signal);
    const { term } = this.#replica.leadership();
    const session = node?.session ?? 0;
    const { lostAttempts } = await this.#outcome<RemoveNodeResult>(
      this.#replica.propose({ type: 'removeNode', term, node: name, session, dead, principal, idempotency }),
      context.signal,
    );
    return { name, lost_attempts: lostAttempts, member: roleOf(name, this.#replica.state, this.#insight) };
  }

  async getCluster(request: GetClusterRequest, context: CallContext): Promise<ClusterStatus> {
    const stale = isStale(request.consistency) || context.isStale === true;
    const view = (): ClusterStatus => {
      const { nodeName, state } = this.#replica;
      return clusterView({ nodeName, insight: this.#insight, state, stale });
    };
    if (stale) return view();
    await this.#barrier(context);
    if (this.#replica.state.cluster === null)
      throw new JarvisError('unavailable', 'the cluster is still being formed');
    return await withReports(view(), { remotes: this.#remotes, context });
  }

  async changeMember(request: ChangeMemberRequest, context: CallContext): Promise<ClusterStatus> {
    await this.#barrier(context);
    await this.#membership.change(request, context);
    return await this.getCluster({ consistency: '' }, context);
  }

  /** The answer is what this node sees of it: it does not lead any more. */
  async transferLeadership(request: TransferLeadershipRequest, context: CallContext): Promise<ClusterStatus> {
    await this.#barrier(context);
    await this.#membership.transfer(request, context);
    return await this.getCluster({ consistency: 'stale' }, context);
  }

  async getConfig(context: CallContext): Promise<ClusterSettings> {
    return await this.#settings.get(context);
  }

  async setConfig(request: SetConfigRequest, context: CallContext): Promise<ClusterSettings> {
    return await this.#settings.set(request, context);
  }

  readonly submitBatch: GroupOperations['submitBatch'] = (...call) => this.#groups.submitBatch(...call);
  readonly getBatch: GroupOperations['getBatch'] = (...call) => this.#groups.getBatch(...call);
  readonly listBatches: GroupOperations['listBatches'] = (...call) => this.#groups.listBatches(...call);
  readonly cancelBatch: GroupOperations['cancelBatch'] = (...call) => this.#groups.cancelBatch(...call);
  readonly retryBatch: GroupOperations['retryBatch'] = (...call) => this.#groups.retryBatch(...call);
  readonly submitDag: GroupOperations['submitDag'] = (...call) => this.#groups.submitDag(...call);
  readonly getDag: GroupOperations['getDag'] = (...call) => this.#groups.getDag(...call);
  readonly listDags: GroupOperations['listDags'] = (...call) => this.#groups.listDags(...call);
  readonly cancelDag: GroupOperations['cancelDag'] = (...call) => this.#groups.cancelDag(...call);
  readonly retryDag: GroupOperations['retryDag'] = (...call) => this.#groups.retryDag(...call);
  readonly cordonNode: NodeOperations['cordonNode'] = (...call) => this.#nodes.cordonNode(...call);
  readonly drainNode: NodeOperations['drainNode'] = (...call) => this.#nodes.drainNode(...call);
  readonly undrainNode: NodeOperations['undrainNode'] = (...call) => this.#nodes.undrainNode(...call);
  readonly labelNode: NodeOperations['labelNode'] = (...call) => this.#nodes.labelNode(...call);

  readonly createToken: TokenOperations['createToken'] = (...call) => this.#tokens.createToken(...call);
  readonly listTokens: TokenOperations['listTokens'] = (...call) => this.#tokens.listTokens(...call);
  readonly revokeToken: TokenOperations['revokeToken'] = (...call) => this.#tokens.revokeToken(...call);
  readonly createJoinToken: JoinTokenOperations['createJoinToken'] = (...call) =>
    this.#joinTokens.createJoinToken(...call);
  readonly listJoinTokens: JoinTokenOperations['listJoinTokens'] = (...call) =>
    this.#joinTokens.listJoinTokens(...call);
  readonly getJoinToken: JoinTokenOperations['getJoinToken'] = (...call) =>
    this.#joinTokens.getJoinToken(...call);
  readonly deleteJoinToken: JoinTokenOperations['deleteJoinToken'] = (...call) =>
    this.#joinTokens.deleteJoinToken(...call);

  readonly listAlerts: AlertOperations['listAlerts'] = (...call) => this.#alerts.listAlerts(...call);
  readonly testAlert: AlertOperations['testAlert'] = (...call) => this.#alerts.testAlert(...call);
  readonly getAutoscaler: ScalingOperations['getAutoscaler'] = (...call) =>
    this.#scaling.getAutoscaler(...call);
  readonly listScalingDecisions: ScalingOperations['listScalingDecisions'] = (...call) =>
    this.#scaling.listScalingDecisions(...call);

  /** See {@link LocalJoinTokens.use}. */
  async useJoinToken(user: JoinTokenUser, signal: AbortSignal): Promise<void> {
    await this.#joinTokens.use(user, signal);
  }

  async *saveSnapshot(context: CallContext): AsyncGenerator<SnapshotPiece, void> {
    await this.#barrier(context);
    yield* this.#snapshots.save(context.signal);
  }

  /** Whether a request with that key was carried out before. */
  async #isRemembered(idempotency: IdempotencyKey | null): Promise<boolean> {
    return idempotency !== null && (await this.#replica.read('idempotency', idempotency.key)) !== null;
  }

  /** A stale read takes the state as it is. */
  async #barrier({ signal, isStale: asItIs }: Pick<CallContext, 'isStale' | 'signal'>): Promise<void> {
    if (asItIs === true) return;
    if (!this.#replica.leadership().isLeader) throw notLeading(this.#replica);
    await orAborted(this.#replica.readBarrier(signal), signal, () => abortError(signal));
  }

  /** @throws JarvisError outcome_unknown where the caller goes before the answer; the refusal of apply */
  async #outcome<Result>(proposed: Promise<Outcome>, signal: AbortSignal): Promise<Result> {
    const outcome = await orAborted(
      proposed,
      signal,
      () => new JarvisError('outcome_unknown', 'the caller has gone before the outcome was known'),
    );
    if (outcome.type === 'refused') throw errorOfRefusal(outcome);
    // Each command has one type of result, which apply gives it.
    return outcome.result as Result;
  }

  #node(node: NodeRow, roles = memberRoles(this.#insight)): Node {
    return nodeView(node, {
      allocated: this.#replica.state.allocated(node.name),
      activeTasks: this.#replica.state.tasksOn(node.name).size,
      roles,
      insight: this.#insight,
    });
  }
}
