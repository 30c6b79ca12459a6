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
import { unreachable } from '../lib/assert.ts';
import type { Clock } from '../lib/clock.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { IdempotencyKey, Outcome, RefusalCode } from '../model/commands.ts';
import type { GraphRow, GroupRef } from '../model/group.ts';
import { groupOf } from '../model/group.ts';
import type { NodeRow } from '../model/node.ts';
import { isTerminal } from '../model/phases.ts';
import type { TaskRow, TaskSpec } from '../model/task.ts';
import { specOfTask } from '../model/template.ts';
import type { RemoveNodeResult } from '../scheduler/core/apply/remove-node.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type {
  AcceptedTasks,
  CallContext,
  ClusterInsight,
  GroupOperations,
  AlertOperations,
  ScalingInsight,
  ScalingOperations,
  JoinTokenOperations,
  JoinTokenUser,
  MembershipControl,
  NodeOperations,
  RemoteOperations,
  Remotes,
  SnapshotSource,
  TestWebhook,
  TokenOperations,
} from './port.ts';
import { absent } from './absent.ts';
import { explanationOf, taskAsItWaits, taskPlanOf } from './explanations.ts';
import type { StoredTask } from './group-members.ts';
import { parsePlan } from './group-requests.ts';
import { LocalGroups } from './groups.ts';
import { LocalAlerts } from './alerts.ts';
import { LocalScaling } from './scaling.ts';
import { LocalJoinTokens } from './join-tokens.ts';
import { MembershipRequests } from './membership-requests.ts';
import { LocalNodes } from './node-changes.ts';
import { expectSilent, expectStopped, namedNode } from './nodes.ts';
import { policyFaults } from './policy-check.ts';
import { LocalSettings } from './settings.ts';
import { idempotencyOf, parseListTasks, parseSubmit, parseUpdate } from './requests.ts';
import { Submissions } from './submissions.ts';
import { LocalTokens } from './tokens.ts';
import { TaskWatches } from './task-watches.ts';
import { isStale, withReports } from './cluster-reports.ts';
import { clusterView } from './cluster-view.ts';
import { nodeView } from './views.ts';
import { abortError, orAborted, throwIfAborted } from './waiting.ts';

const TASK_ID_CHARACTERS = 'task-'.length + 18;
/** Named where a prefix is ambiguous. */
const AMBIGUOUS_SHOWN = 5;

/** What a command about a task names, for it may not be in memory. */
interface NamedRows {
  readonly taskId: string;
  readonly specId: string;
  readonly group: GroupRef | null;
}

export class LocalOperations implements RemoteOperations {
  readonly #replica: Replica;
  readonly #insight: ClusterInsight;
  readonly #membership: MembershipRequests;
  readonly #snapshots: SnapshotSource;
  readonly #remotes: Pick<Remotes, 'operations'>;
  readonly #watches: TaskWatches;
  readonly #submissions: Submissions;
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
    this.#replica = options.replica;
    this.#insight = options.insight;
    this.#membership = new MembershipRequests({
      replica: options.replica,
      membership: options.membership,
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
    });
    this.#snapshots = options.snapshots;
    this.#remotes = options.remotes;
    this.#watches = new TaskWatches(options.replica);
    this.#submissions = new Submissions(options.replica);
    this.#groups = new LocalGroups({
      replica: options.replica,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
      isRemembered: (idempotency) => this.#isRemembered(idempotency),
    });
    this.#nodes = new LocalNodes({
      replica: options.replica,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
      viewOf: (node) => this.#node(node),
    });
    this.#tokens = new LocalTokens({
      replica: options.replica,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
    });
    this.#settings = new LocalSettings({
      replica: options.replica,
      insight: options.insight,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
      isRemembered: (idempotency) => this.#isRemembered(idempotency),
    });
    this.#scaling = new LocalScaling({
      replica: options.replica,
      barrier: (context) => this.#barrier(context),
      insight: options.scaling,
    });
    this.#alerts = new LocalAlerts({
      replica: options.replica,
      barrier: (context) => this.#barrier(context),
      test: options.testWebhook,
    });
    this.#joinTokens = new LocalJoinTokens({
      replica: options.replica,
      insight: options.insight,
      barrier: (context) => this.#barrier(context),
      outcome: (proposed, signal) => this.#outcome(proposed, signal),
      nowMs: () => Math.max(options.replica.state.cluster?.timeMs ?? 0, options.clock.wallMs()),
    });
  }

  async submitTasks(request: SubmitTasksRequest, context: CallContext): Promise<SubmitTasksResponse> {
    const { taskIds } = await this.acceptTasks(request, context);
    return { tasks: await Promise.all(taskIds.map((id) => this.#task(id))) };
  }

  async acceptTasks(request: SubmitTasksRequest, context: CallContext): Promise<AcceptedTasks> {
    const defaults = this.#replica.state.cluster?.config.retryPolicy;
    const tasks = parseSubmit(request, defaults);
    const { idempotency, bytes } = idempotencyOf({
      principal: context.principal,
      route: 'POST /tasks',
      key: request.idempotency_key,
      // As it was sent: sent again it is the same request, whatever the cluster's defaults are by then.
      content:
        defaults === undefined || request.idempotency_key === '' ? tasks : parseSubmit(request, undefined),
    });
    await this.#checkPolicies(tasks, idempotency, context.signal);
    throwIfAborted(context.signal);
    const outcome = this.#submissions.accept({ tasks, idempotency }, bytes);
    return await this.#outcome<AcceptedTasks>(outcome, context.signal);
  }

  async getTask(request: TaskRequest, context: CallContext): Promise<Task> {
    await this.#barrier(context);
    return this.#task(await this.#resolve(request.id));
  }

  async explainTask(request: TaskRequest, context: CallContext): Promise<Explanation> {
    await this.#barrier(context);
    const id = await this.#resolve(request.id);
    const task = await this.#replica.read('task', id);
    if (task === null) throw absent('task', id);
    return explanationOf(this.#replica.state, task);
  }

  async planTasks(request: PlanRequest, context: CallContext): Promise<TaskPlan> {
    const planned = await parsePlan(request, this.#replica.state.cluster?.config.retryPolicy);
    await this.#barrier(context);
    return taskPlanOf(this.#replica, planned, this.#insight);
  }

  async listTasks(request: ListTasksRequest, context: CallContext): Promise<ListTasksResponse> {
    const { limit, cursor, matches } = parseListTasks(request);
    await this.#barrier(context);
    if (request.batch_id !== '' || request.dag_id !== '') return await this.#listMembers(request);
    const items: Task[] = [];
    const graphs = new Map<string, GraphRow | null>();
    let next = cursor;
    // A page of the replica looks at so many rows; few of them may match.
    for (let round = 0; round < limits.listRounds; round += 1) {
      const page = await this.#replica.tasksNewestFirst({
        cursor: next,
        limit: limit - items.length,
        matches: (task, spec) => matches(task, specOfTask(task, spec.spec)),
      });
      for (const found of page.tasks) items.push(await this.#view(found, graphs));
      next = page.nextCursor;
      if (next === '' || items.length >= limit || context.signal.aborted) break;
    }
    return { items, next_cursor: next };
  }

  /** Of a batch or a DAG; of a batch and a DAG at once there are none. */
  async #listMembers(request: ListTasksRequest): Promise<ListTasksResponse> {
    const { limit, cursor, matches } = parseListTasks(request);
    if (request.batch_id !== '' && request.dag_id !== '') return { items: [], next_cursor: '' };
    const [table, id] =
      request.dag_id === '' ? ['batch' as const, request.batch_id] : ['dag' as const, request.dag_id];
    const { tasks, nextCursor } = await this.#groups.listTasks(table, id, {
      limit,
      cursor,
      matches: ({ task, spec }) => matches(task, specOfTask(task, spec.spec)),
    });
    const graphs = new Map<string, GraphRow | null>();
    return {
      items: await Promise.all(tasks.map((found) => this.#view(found, graphs))),
      next_cursor: nextCursor,
    };
  }

  async cancelTask(request: CancelTaskRequest, context: CallContext): Promise<Task> {
    return await this.#change('DELETE /tasks', request, context, {
      content: {},
      commandOf: ({ taskId }, idempotency) => ({ type: 'cancelTask', taskId, idempotency }),
    });
  }

  async retryTask(request: RetryTaskRequest, context: CallContext): Promise<Task> {
    return await this.#change('POST /tasks/retry', request, context, {
      content: {},
      commandOf: (named, idempotency) => ({ type: 'retryTask', ...named, idempotency }),
    });
  }

  async updateTask(request: UpdateTaskRequest, context: CallContext): Promise<Task> {
    const changes = parseUpdate(request);
    return await this.#change('PATCH /tasks', request, context, {
      content: changes,
      commandOf: ({ taskId, specId }, idempotency) => ({
        type: 'updateTask',
        taskId,
        specId,
        changes,
        idempotency,
      }),
    });
  }

  /** Of one task, which is answered as it is afterwards. */
  async #change(
    route: string,
    request: { readonly id: string; readonly idempotency_key: string },
    context: CallContext,
    change: {
      /** What is asked for, beside the task. */
      readonly content: object;
      readonly commandOf: (named: NamedRows, idempotency: IdempotencyKey | null) => CommandInput;
    },
  ): Promise<Task> {
    const { principal, signal } = context;
    await this.#barrier(context);
    const taskId = await this.#resolve(request.id);
    await this.#made(taskId, signal);
    const content = { taskId, ...change.content };
    const { idempotency } = idempotencyOf({ principal, route, key: request.idempotency_key, content });
    const row = await this.#replica.read('task', taskId);
    const group = row === null ? null : groupOf(row);
    throwIfAborted(signal);
    const command = change.commandOf({ taskId, specId: row?.specId ?? taskId, group }, idempotency);
    await this.#outcome(this.#replica.propose(command), signal);
    return this.#task(taskId);
  }

  async *watchTask(request: TaskRequest, context: CallContext): AsyncGenerator<Task, void> {
    await this.#barrier(context);
    const id = await this.#resolve(request.id);
    // Watched before it is read: a change in between wakes us once more than needed, never once less.
    using watch = this.#watches.watch(id);
    for (;;) {
      if (!this.#replica.leadership().isLeader) throw this.#notLeading();
      const row = await this.#replica.read('task', id);
      yield await this.#task(id, row);
      if (row !== null && isTerminal(row.status)) return;
      await watch.changed(context.signal);
    }
  }

  async listNodes(context: CallContext): Promise<ListNodesResponse> {
    await this.#barrier(context);
    const nodes = [...this.#replica.state.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return { items: nodes.map((node) => this.#node(node)), next_cursor: '' };
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
    const member = this.#insight.members().find((one) => one.name === name)?.role;
    return { name, lost_attempts: lostAttempts, member };
  }

  async getCluster(request: GetClusterRequest, context: CallContext): Promise<ClusterStatus> {
    const stale = isStale(request.consistency) || context.isStale === true;
    const view = (): ClusterStatus => {
      const { nodeName, state } = this.#replica;
      const { nodes, cluster } = state;
      return clusterView({ nodeName, insight: this.#insight, nodes, cluster, stale });
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

  /**
   * A refusal rests on what the policies are now, not on what an earlier leader knew; and a request that was accepted
   * once, and is repeated, gets its answer whatever has changed since.
   * @throws JarvisError invalid where every node that could run a task forbids it
   */
  async #checkPolicies(
    tasks: readonly TaskSpec[],
    idempotency: IdempotencyKey | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (policyFaults(tasks, this.#replica.state.nodes.values()).length === 0) return;
    await this.#barrier({ signal });
    const faults = policyFaults(tasks, this.#replica.state.nodes.values());
    if (faults.length === 0) return;
    if (!(await this.#isRemembered(idempotency))) throw invalidInput(faults);
  }

  /** Whether a request with that key was carried out before. */
  async #isRemembered(idempotency: IdempotencyKey | null): Promise<boolean> {
    return idempotency !== null && (await this.#replica.read('idempotency', idempotency.key)) !== null;
  }

  /** A stale read takes the state as it is. */
  async #barrier({ signal, isStale: asItIs }: Pick<CallContext, 'isStale' | 'signal'>): Promise<void> {
    if (asItIs === true) return;
    if (!this.#replica.leadership().isLeader) throw this.#notLeading();
    await orAborted(this.#replica.readBarrier(signal), signal, () => abortError(signal));
  }

  /** @throws JarvisError outcome_unknown where the caller goes before the answer; the refusal of apply */
  async #outcome<Result>(proposed: Promise<Outcome>, signal: AbortSignal): Promise<Result> {
    const outcome = await orAborted(
      proposed,
      signal,
      () => new JarvisError('outcome_unknown', 'the caller has gone before the outcome was known'),
    );
    if (outcome.type === 'refused') throw new JarvisError(codeOfRefusal(outcome.code), outcome.message);
    // Each command has one type of result, which apply gives it.
    return outcome.result as Result;
  }

  #notLeading(): JarvisError {
    return new JarvisError('no_leader', `${this.#replica.nodeName} does not lead`);
  }

  /** The id that the text is, or begins. @throws JarvisError not_found, ambiguous */
  async #resolve(text: string): Promise<string> {
    if (/^t(a(s(k(-[0-9a-z]*)?)?)?)?$/.test(text) && text.length <= TASK_ID_CHARACTERS) {
      if (text.length === TASK_ID_CHARACTERS) return text;
      const ids = await this.#replica.taskIdsWithPrefix(text, AMBIGUOUS_SHOWN + 1);
      const [first] = ids;
      if (first !== undefined && ids.length === 1) return first;
      if (ids.length > 1) {
        const more = ids.length > AMBIGUOUS_SHOWN ? ', …' : '';
        const shown = ids.slice(0, AMBIGUOUS_SHOWN).join(', ');
        throw new JarvisError('ambiguous', `${show(text)} begins several ids: ${shown}${more}`);
      }
    }
    throw absent('task', text);
  }

  async #task(id: string, known: TaskRow | null = null): Promise<Task> {
    const task = known ?? (await this.#replica.read('task', id));
    if (task === null) {
      const unmade = await this.#groups.members.unmade(id);
      if (unmade !== null) return await this.#view(unmade, null);
      throw absent('task', id);
    }
    const spec = await this.#replica.read('spec', task.specId);
    if (spec === null) throw new JarvisError('not_found', `the spec of ${show(id)} is gone`);
    return await this.#view({ task, spec }, null);
  }

  /** @param graphs of DAGs that were read for the same answer; null: it is of this task alone */
  async #view(found: StoredTask, graphs: Map<string, GraphRow | null> | null): Promise<Task> {
    const dependencies = await this.#groups.dependenciesOf(found, graphs ?? new Map());
    return taskAsItWaits(this.#replica.state, found, { dependencies, judged: graphs === null });
  }

  /** Resolves once the task has a row: those of large batches and DAGs are made soon after their submission. */
  async #made(taskId: string, signal: AbortSignal): Promise<void> {
    if (this.#groups.members.unmadeGroupOf(taskId) === null) return;
    using watch = this.#watches.watch(taskId);
    while (this.#groups.members.unmadeGroupOf(taskId) !== null) await watch.changed(signal);
  }

  #node(node: NodeRow): Node {
    return nodeView(node, {
      allocated: this.#replica.state.allocated(node.name),
      activeTasks: this.#replica.state.tasksOn(node.name).size,
      insight: this.#insight,
    });
  }
}

function codeOfRefusal(code: RefusalCode): ErrorCode {
  switch (code) {
    case 'not_found':
    case 'forbidden':
    case 'conflict':
    case 'idempotency_conflict':
    case 'invalid':
    case 'too_many':
      return code;
    // Decided by a leader that was replaced meanwhile: the next one decides anew.
    case 'stale_decision':
      return 'no_leader';
    case 'stale_session':
    case 'internal':
      return 'internal';
    default:
      return unreachable(code);
  }
}
