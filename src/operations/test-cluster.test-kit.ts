/** For tests: a cluster in this process, with the real state machine and without Raft, disks and workers. */
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import type { AttemptReport, Command, Outcome, RegisterNodeCommand } from '../model/commands.ts';
import type { GroupTable } from '../model/group.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import type { OrderedTableName, TableName, Tables } from '../model/rows.ts';
import { apply } from '../scheduler/core/apply/apply.ts';
import { ClusterState } from '../scheduler/core/state.ts';
import type { Applied, CommandInput, GroupPage, Leadership, Replica, TaskPage } from '../scheduler/ports.ts';
import { orderedRows } from '../scheduler/testing/ordered-rows.ts';

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
