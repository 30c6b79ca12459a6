/** For tests: a cluster in this process, with the real state machine and without Raft, disks and workers. */
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import type { Clock } from '../lib/clock.ts';
import { systemClock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { LogLevels } from '../lib/log-levels.ts';
import type { AttemptReport, Command, Outcome, RegisterNodeCommand } from '../model/commands.ts';
import type { GroupTable } from '../model/group.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import type { OrderedTableName, TableName, Tables } from '../model/rows.ts';
import { apply } from '../scheduler/core/apply/apply.ts';
import { ClusterState } from '../scheduler/core/state.ts';
import type { Applied, CommandInput, GroupPage, Leadership, Replica, TaskPage } from '../scheduler/ports.ts';
import { orderedRows } from '../scheduler/testing/ordered-rows.ts';
import { FreshnessWatch } from './freshness.ts';
import { LocalOperations } from './local.ts';
import { localLogLevel } from './log-level.ts';
import { NodeUsage } from '../generated/cluster.ts';
import type { ClusterInsight, ScalingInsight } from './insight.ts';
import type { LocalLogs, LocalUsage, MembershipControl, Remotes, TestWebhook } from './node-port.ts';
import type { CallContext } from './port.ts';
import { RoutingOperations } from './router.ts';

type Listener<T> = (value: T) => void;

export class TestCluster {
  readonly state = new ClusterState();
  /** Every row, by `table/key`. */
  readonly rows = new Map<string, Tables[TableName]>();
  readonly replicas = new Map<string, TestReplica>();
  nowMs = Date.UTC(2026, 10, 24);
  term = 1;
  index = 0;
  leader: string | null = null;

  constructor(names: readonly string[], version = CLUSTER_VERSION) {
    for (const name of names) this.replicas.set(name, new TestReplica(this, name));
    const heartbeat = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };
    this.execute({
      type: 'initCluster',
      clusterId: 'c-1',
      epoch: 1,
      config: { heartbeat },
      version,
      term: this.term,
    });
    this.lead(names[0] ?? null);
  }

  replica(name: string): TestReplica {
    const replica = this.replicas.get(name);
    if (replica === undefined) throw new Error(`no replica ${name}`);
    return replica;
  }

  /** Another node leads from now on, or none. */
  lead(name: string | null): void {
    this.leader = name;
    this.term += 1;
    for (const replica of this.replicas.values()) replica.announce();
  }

  execute(input: CommandInput): Outcome {
    this.nowMs += 1;
    this.index += 1;
    const command: Command = { ...input, atMs: this.nowMs };
    const { outcome, changes, poisoned } = apply(
      this.state,
      command,
      { term: this.term, index: this.index },
      this.rows,
    );
    if (poisoned) throw new Error(JSON.stringify(outcome));
    for (const { table, key, after } of changes) {
      if (after === null) this.rows.delete(`${table}/${key}`);
      else this.rows.set(`${table}/${key}`, after);
    }
    for (const replica of this.replicas.values()) {
      replica.applied({ index: this.index, term: this.term, command, outcome, changes });
    }
    return outcome;
  }

  /** A worker of that name that takes tasks. */
  register(
    name: string,
    address: string,
    changes: Partial<Pick<RegisterNodeCommand, 'capacity' | 'drivers' | 'http' | 'labels' | 'policy'>> = {},
  ): void {
    const outcome = this.execute({
      type: 'registerNode',
      name,
      incarnation: name,
      machineId: name,
      bootId: name,
      startId: name,
      startCounter: 1,
      version: '0',
      address,
      http: '',
      labels: [['zone', 'a']],
      drivers: ['process'],
      policy: DEFAULT_POLICY,
      isolation: 'none',
      capacity: { cpuMillis: 4000, memoryBytes: 2 ** 32 },
      ...changes,
    });
    if (outcome.type !== 'done') throw new Error(outcome.message);
    this.execute({ type: 'reconcileNode', node: name, session: this.session(name), known: [] });
  }

  /** For how long nodes have been silent, as their leader knows it; 0 where it is not set. */
  readonly silentMs = new Map<string, number>();

  session(node: string): number {
    return this.state.nodes.get(node)?.session ?? 0;
  }

  /** Places a pending task on a node; the assignment's number. */
  assign(taskId: string, node: string): number {
    const assignment = { taskId, node, session: this.session(node) };
    this.execute({ type: 'assign', term: this.term, planIndex: this.index, assignments: [assignment] });
    const attempt = this.state.tasks.get(taskId)?.attempts.at(-1);
    if (attempt === undefined || attempt.status !== 'ASSIGNED') throw new Error(`${taskId} was not assigned`);
    return attempt.assignment;
  }

  /** What the worker says of the newest attempt. */
  report(taskId: string, status: AttemptReport['status'], more: Partial<AttemptReport> = {}): void {
    const attempt = this.state.tasks.get(taskId)?.attempts.at(-1);
    if (attempt === undefined) throw new Error(`${taskId} has no attempt`);
    const report: AttemptReport = {
      taskId,
      assignment: attempt.assignment,
      status,
      atMs: this.nowMs,
      startedAtMs: this.nowMs,
      exitCode: status === 'COMPLETED' ? 0 : null,
      signal: null,
      error: null,
      result: null,
      logTail: '',
      note: '',
      imageDigest: null,
      ...more,
    };
    const session = this.session(attempt.node);
    this.execute({ type: 'reportAttempts', node: attempt.node, session, reports: [report] });
  }
}

export class TestReplica implements Replica {
  readonly nodeName: string;
  readonly #cluster: TestCluster;
  readonly #appliedListeners = new Set<Listener<Applied>>();
  readonly #leadershipListeners = new Set<Listener<Leadership>>();
  /** Made by a test: what the next proposals come to, before or instead of the real thing. */
  beforePropose: ((command: CommandInput) => Promise<void>) | null = null;
  afterPropose: ((outcome: Outcome) => Promise<void>) | null = null;
  /** Elected, it does not lead yet: nothing of its own term is applied. */
  isOnlyElected = false;

  constructor(cluster: TestCluster, nodeName: string) {
    this.#cluster = cluster;
    this.nodeName = nodeName;
  }

  get state(): ClusterState {
    return this.#cluster.state;
  }

  get appliedIndex(): number {
    return this.#cluster.index;
  }

  leadership(): Leadership {
    const name = this.#cluster.leader;
    const address = name === null ? '' : (this.state.nodes.get(name)?.address ?? '');
    return {
      isLeader: name === this.nodeName && !this.isOnlyElected,
      term: this.#cluster.term,
      leader: name === null ? null : { name, address },
    };
  }

  onLeadership(listener: Listener<Leadership>): () => void {
    this.#leadershipListeners.add(listener);
    return () => this.#leadershipListeners.delete(listener);
  }

  onApplied(listener: Listener<Applied>): () => void {
    this.#appliedListeners.add(listener);
    return () => this.#appliedListeners.delete(listener);
  }

  onAdvanced(listener: () => void): () => void {
    return this.onApplied(listener);
  }

  async rowsFrom<T extends OrderedTableName>(
    table: T,
    from: { readonly index: number; readonly part: number },
    count: number,
  ): Promise<{ readonly rows: readonly Tables[T][]; readonly appliedIndex: number }> {
    const rows = orderedRows(this.#cluster.rows, { table, from, count });
    return { rows, appliedIndex: this.appliedIndex };
  }

  announce(): void {
    for (const listener of this.#leadershipListeners) listener(this.leadership());
  }

  applied(applied: Applied): void {
    for (const listener of this.#appliedListeners) listener(applied);
  }

  async propose(command: CommandInput): Promise<Outcome> {
    await this.beforePropose?.(command);
    this.#mustLead();
    const outcome = this.#cluster.execute(command);
    await this.afterPropose?.(outcome);
    return outcome;
  }

  async readBarrier(): Promise<void> {
    this.#mustLead();
  }

  async confirmLeadership(): Promise<number> {
    this.#mustLead();
    return this.#cluster.term;
  }

  async read<T extends TableName>(table: T, key: string): Promise<Tables[T] | null> {
    return (this.#cluster.rows.get(`${table}/${key}`) as Tables[T] | undefined) ?? null;
  }

  async taskIdsWithPrefix(prefix: string, limit: number): Promise<readonly string[]> {
    return this.#tasks()
      .map((task) => task.id)
      .filter((id) => id.startsWith(prefix))
      .slice(0, limit);
  }

  async tasksNewestFirst(query: Parameters<Replica['tasksNewestFirst']>[0]): Promise<TaskPage> {
    const tasks: TaskPage['tasks'][number][] = [];
    const all = this.#tasks().reverse();
    let at = query.cursor === '' ? 0 : Number(query.cursor);
    for (; at < all.length && tasks.length < query.limit; at += 1) {
      const task = all[at];
      const spec = task === undefined ? null : await this.read('spec', task.specId);
      if (task !== undefined && spec !== null && query.matches(task, spec)) tasks.push({ task, spec });
    }
    return { tasks, nextCursor: at < all.length ? String(at) : '' };
  }

  async groupIdsWithPrefix(table: GroupTable, prefix: string, limit: number): Promise<readonly string[]> {
    return this.#groups(table)
      .map(({ id }) => id)
      .filter((id) => id.startsWith(prefix))
      .slice(0, limit);
  }

  async groupsNewestFirst(query: Parameters<Replica['groupsNewestFirst']>[0]): Promise<GroupPage> {
    const from = Number(query.cursor);
    const all = this.#groups(query.table).reverse();
    const end = from + query.limit;
    return { groups: all.slice(from, end), nextCursor: end < all.length ? String(end) : '' };
  }

  #groups(table: GroupTable): Tables[GroupTable][] {
    return [...this.#cluster.rows].flatMap(([key, row]) =>
      key.startsWith(`${table}/`) ? [row as Tables[GroupTable]] : [],
    );
  }

  #tasks(): Tables['task'][] {
    return [...this.#cluster.rows].flatMap(([key, row]) =>
      key.startsWith('task/') ? [row as Tables['task']] : [],
    );
  }

  #mustLead(): void {
    if (this.leadership().isLeader) return;
    throw new JarvisError('no_leader', `${this.nodeName} does not lead`);
  }
}

const LOG_FACTS = { segments: 1, bytes: 4096, lastFsyncMs: 2, pending: 0 };

/** What `name` knows of n1, n2 and n3, which lag behind by one entry each. */
function insightOf(cluster: TestCluster, name: string): ClusterInsight {
  const names = ['n1', 'n2', 'n3'];
  const leads = (): boolean => cluster.leader === name;
  return {
    lastHeartbeatMs: () => Date.UTC(2026, 10, 24, 12),
    silentMs: (node) => cluster.silentMs.get(node) ?? 0,
    usage: () => ({
      cpu_percent: 12.5,
      memory_bytes: 1024,
      disk_bytes: 0,
      network_bytes_per_second: 0,
      network_receive_bytes_per_second: 0,
      network_transmit_bytes_per_second: 0,
      disk_size_bytes: 0,
      memory_size_bytes: 0,
      wall_ms: 0,
      pressure: [],
      cpu_scope: '',
    }),
    commitIndex: () => 17,
    members: () =>
      names.map((member, index) => ({
        name: member,
        raftId: index + 1,
        address: `${member}:7101`,
        role: 'voter',
        incoming: true,
        outgoing: false,
        matchIndex: 17 - index,
        nextIndex: 18,
        state: !leads() ? 'unknown' : member === name ? 'leader' : 'replicate',
        active: true,
        inflight: index,
        isPaused: false,
        lastContactMs: member === name ? 0 : 20,
        snapshot: null,
        lastWords: [],
      })),
    node: () => ({
      clusterId: cluster.state.cluster?.clusterId ?? '',
      epoch: cluster.state.cluster?.epoch ?? 0,
      version: '0.1.0',
      raftId: names.indexOf(name) + 1,
      role: leads() ? 'leader' : 'follower',
      term: cluster.term,
      vote: 0,
      leader: names.indexOf(cluster.leader ?? '') + 1,
      commitIndex: 17,
      appliedIndex: 17,
      firstIndex: 1,
      lastIndex: 17,
      durableIndex: 17,
      uncommittedBytes: 0,
      log: LOG_FACTS,
      diskErrors: [],
      stateDifference: null,
      refusals: new Map(),
      transferTarget: 0,
      learnersNext: [],
      autoLeave: false,
    }),
  };
}

/** A caller that stays. */
export function testContext(changes: Partial<CallContext> = {}): CallContext {
  return { principal: 'anonymous', signal: new AbortController().signal, forwarded: false, ...changes };
}

const noLogs: LocalLogs = {
  async *read() {},
};

const noChanges: MembershipControl = {
  change: async () => {},
  transfer: async () => {},
};

/** The operations of one node of the cluster. */
export function testOperations(
  cluster: TestCluster,
  name: string,
  parts: {
    readonly remotes: Remotes;
    readonly localLogs?: LocalLogs;
    readonly localUsage?: LocalUsage;
    readonly logLevels?: LogLevels;
    readonly clock?: Clock;
    readonly membership?: MembershipControl;
    readonly authorityHash?: () => string;
    readonly testWebhook?: TestWebhook;
  },
): RoutingOperations {
  const replica = cluster.replica(name);
  let keys = 0;
  const clock = parts.clock ?? systemClock;
  const freshness = new FreshnessWatch({ replica, insight: insightOf(cluster, name), clock });
  return new RoutingOperations({
    replica,
    local: testLocal(cluster, name, parts),
    authorityHash: parts.authorityHash ?? (() => null),
    remotes: parts.remotes,
    localLogs: parts.localLogs ?? noLogs,
    localUsage: parts.localUsage ?? { read: async () => NodeUsage.create({ node: name }) },
    localLogLevel: localLogLevel(name, parts.logLevels ?? new LogLevels('info', clock), silentLog),
    clock,
    freshness: () => freshness.now(),
    uniqueId: () => `${name}-${(keys += 1)}`,
    version: { version: '0.1.0', name, node_version: process.version },
  });
}

/** What it answers by itself, while it leads. */
export function testLocal(
  cluster: TestCluster,
  name: string,
  parts: {
    readonly remotes: Remotes;
    readonly membership?: MembershipControl;
    readonly testWebhook?: TestWebhook;
  },
): LocalOperations {
  return new LocalOperations({
    replica: cluster.replica(name),
    insight: insightOf(cluster, name),
    membership: parts.membership ?? noChanges,
    snapshots: {
      async *save() {
        yield { data: Buffer.from('a snapshot') };
      },
    },
    remotes: parts.remotes,
    clock: { wallMs: () => cluster.nowMs },
    testWebhook: parts.testWebhook ?? (() => Promise.resolve({ failure: null, status: 200 })),
    scaling: idleScaling,
  });
}

/** Nothing is to be done. */
const idleScaling: ScalingInsight = {
  evaluatedAtMs: null,
  preview: () => ({
    load: {
      queueDepth: 0,
      averageWaitTime: 0,
      longestWaitTime: 0,
      utilization: 0,
      unplaceable: 0,
      nodes: 3,
    },
    size: { active: 3, joining: 0, leaving: 0 },
    decision: { desired: 3, reason: 'no rule fires', rules: [] },
  }),
};

/** The nodes reach each other by a call, as if forwarded. */
export function inProcessRemotes(nodes: ReadonlyMap<string, RoutingOperations>): Remotes {
  return {
    operations: (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return {
        submitTasks: (request, context) => node.submitTasks(request, forwarded(context)),
        acceptTasks: (request, context) => node.acceptTasks(request, forwarded(context)),
        getTask: (request, context) => node.getTask(request, forwarded(context)),
        listTasks: (request, context) => node.listTasks(request, forwarded(context)),
        cancelTask: (request, context) => node.cancelTask(request, forwarded(context)),
        retryTask: (request, context) => node.retryTask(request, forwarded(context)),
        updateTask: (request, context) => node.updateTask(request, forwarded(context)),
        watchTask: (request, context) => node.watchTask(request, forwarded(context)),
        listNodes: (context) => node.listNodes(forwarded(context)),
        explainTask: (request, context) => node.explainTask(request, forwarded(context)),
        planTasks: (request, context) => node.planTasks(request, forwarded(context)),
        getNode: (request, context) => node.getNode(request, forwarded(context)),
        cordonNode: (request, context) => node.cordonNode(request, forwarded(context)),
        drainNode: (request, context) => node.drainNode(request, forwarded(context)),
        undrainNode: (request, context) => node.undrainNode(request, forwarded(context)),
        labelNode: (request, context) => node.labelNode(request, forwarded(context)),
        removeNode: (request, context) => node.removeNode(request, forwarded(context)),
        getCluster: (request, context) => node.getCluster(request, forwarded(context)),
        changeMember: (request, context) => node.changeMember(request, forwarded(context)),
        transferLeadership: (request, context) => node.transferLeadership(request, forwarded(context)),
        saveSnapshot: (context) => node.saveSnapshot(forwarded(context)),
        getConfig: (context) => node.getConfig(forwarded(context)),
        setConfig: (request, context) => node.setConfig(request, forwarded(context)),
        createJoinToken: (request, context) => node.createJoinToken(request, forwarded(context)),
        listJoinTokens: (context) => node.listJoinTokens(forwarded(context)),
        getJoinToken: (request, context) => node.getJoinToken(request, forwarded(context)),
        deleteJoinToken: (request, context) => node.deleteJoinToken(request, forwarded(context)),
        listAlerts: (request, context) => node.listAlerts(request, forwarded(context)),
        testAlert: (request, context) => node.testAlert(request, forwarded(context)),
        getAutoscaler: (request, context) => node.getAutoscaler(request, forwarded(context)),
        listScalingDecisions: (request, context) => node.listScalingDecisions(request, forwarded(context)),
        submitBatch: (request, context) => node.submitBatch(request, forwarded(context)),
        getBatch: (request, context) => node.getBatch(request, forwarded(context)),
        listBatches: (request, context) => node.listBatches(request, forwarded(context)),
        cancelBatch: (request, context) => node.cancelBatch(request, forwarded(context)),
        retryBatch: (request, context) => node.retryBatch(request, forwarded(context)),
        submitDag: (request, context) => node.submitDag(request, forwarded(context)),
        getDag: (request, context) => node.getDag(request, forwarded(context)),
        listDags: (request, context) => node.listDags(request, forwarded(context)),
        cancelDag: (request, context) => node.cancelDag(request, forwarded(context)),
        retryDag: (request, context) => node.retryDag(request, forwarded(context)),
        createToken: (request, context) => node.createToken(request, forwarded(context)),
        listTokens: (context) => node.listTokens(forwarded(context)),
        revokeToken: (request, context) => node.revokeToken(request, forwarded(context)),
      };
    },
    nodeUsage: async (address, request, context) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return await node.getNodeUsage(request, forwarded(context));
    },
    logLevel: (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} cannot be reached`);
      return {
        get: (request, context) => node.getLogLevel(request, forwarded(context)),
        set: (request, context) => node.setLogLevel(request, forwarded(context)),
      };
    },
    readLog: (address) => {
      throw new JarvisError('unavailable', `${address} cannot be reached`);
    },
  };
}

/** The node at that address takes every call and answers none; the others are reached as by `others`. */
export function silentAt(address: string, others: Remotes): Remotes {
  return {
    operations: (asked) => {
      const real = others.operations(asked);
      if (asked !== address) return real;
      return {
        ...real,
        submitTasks: (_request, { signal }) => neverAnswered(signal, 'outcome_unknown'),
        getTask: (_request, { signal }) => neverAnswered(signal, 'timeout'),
      };
    },
    nodeUsage: (...args) => others.nodeUsage(...args),
    logLevel: (asked) => others.logLevel(asked),
    readLog: (...args) => others.readLog(...args),
  };
}

function neverAnswered(signal: AbortSignal, code: 'outcome_unknown' | 'timeout'): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new JarvisError(code, 'given up')));
  });
}

function forwarded(context: CallContext): CallContext {
  return { ...context, forwarded: true };
}

/** Time passes only while somebody waits for it, and then at once. */
export function impatientClock(): Clock {
  let nowMs = 0;
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (delayMs, callback) => {
      const timer = setImmediate(() => {
        nowMs += delayMs;
        callback();
      });
      return () => clearImmediate(timer);
    },
  };
}
