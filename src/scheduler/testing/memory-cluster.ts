/** For tests: replicas that share one state in this process, with the real `apply` and no Raft and no disk. */
import { JarvisError } from '../../lib/errors.ts';
import type { Command, Outcome } from '../../model/commands.ts';
import type { OrderedTableName, TableName, Tables } from '../../model/rows.ts';
import { apply } from '../core/apply/apply.ts';
import { ClusterState } from '../core/state.ts';
import type { Applied, CommandInput, GroupPage, Leadership, Replica, TaskPage } from '../ports.ts';
import { orderedRows } from './ordered-rows.ts';

export class MemoryCluster {
  readonly state = new ClusterState();
  /** Every row, by `table/key`. */
  readonly rows = new Map<string, Tables[TableName]>();
  /** What was applied, in order. */
  readonly applied: Applied[] = [];
  readonly #replicas = new Map<string, MemoryReplica>();
  readonly #wallMs: () => number;
  /** Called before a proposal is applied; what it throws is what the proposal comes to. */
  beforeApply: (command: CommandInput) => Promise<void> | void = () => {};
  /** Called while a quorum is asked whether it still follows its leader. */
  beforeConfirm: () => Promise<void> | void = () => {};
  term = 0;
  index = 0;
  leader: { readonly name: string; readonly address: string } | null = null;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  replica(name: string): MemoryReplica {
    let replica = this.#replicas.get(name);
    if (replica === undefined) {
      replica = new MemoryReplica(this, name);
      this.#replicas.set(name, replica);
    }
    return replica;
  }

  /** Another node leads from now on, or none. */
  lead(leader: { readonly name: string; readonly address: string } | null): void {
    this.leader = leader;
    this.term += 1;
    for (const replica of this.#replicas.values()) replica.announce();
  }

  execute(input: CommandInput): Outcome {
    this.index += 1;
    const command: Command = { ...input, atMs: this.#wallMs() };
    const entry = { term: this.term, index: this.index };
    const { outcome, changes } = apply(this.state, command, entry, this.rows);
    for (const { table, key, after } of changes) {
      if (after === null) this.rows.delete(`${table}/${key}`);
      else this.rows.set(`${table}/${key}`, after);
    }
    const applied: Applied = { ...entry, command, outcome, changes };
    this.applied.push(applied);
    for (const replica of this.#replicas.values()) replica.tell(applied);
    return outcome;
  }
}

export class MemoryReplica implements Replica {
  readonly nodeName: string;
  readonly #cluster: MemoryCluster;
  readonly #onApplied = new Set<(applied: Applied) => void>();
  readonly #onLeadership = new Set<(leadership: Leadership) => void>();

  constructor(cluster: MemoryCluster, nodeName: string) {
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
    const { leader, term } = this.#cluster;
    return { isLeader: leader?.name === this.nodeName, term, leader };
  }

  onLeadership(listener: (leadership: Leadership) => void): () => void {
    this.#onLeadership.add(listener);
    return () => this.#onLeadership.delete(listener);
  }

  onApplied(listener: (applied: Applied) => void): () => void {
    this.#onApplied.add(listener);
    return () => this.#onApplied.delete(listener);
  }

  async propose(command: CommandInput): Promise<Outcome> {
    this.#checkLeads();
    await this.#cluster.beforeApply(command);
    this.#checkLeads();
    return this.#cluster.execute(command);
  }

  async readBarrier(): Promise<void> {
    this.#checkLeads();
  }

  async confirmLeadership(): Promise<number> {
    this.#checkLeads();
    await this.#cluster.beforeConfirm();
    this.#checkLeads();
    return this.#cluster.term;
  }

  async read<T extends TableName>(table: T, key: string): Promise<Tables[T] | null> {
    return (this.#cluster.rows.get(`${table}/${key}`) ?? null) as Tables[T] | null;
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

  async taskIdsWithPrefix(prefix: string, limit: number): Promise<readonly string[]> {
    const ids = [...this.#cluster.rows.keys()].filter((name) => name.startsWith(`task/${prefix}`));
    return ids.slice(0, limit).map((name) => name.slice('task/'.length));
  }

  async tasksNewestFirst(): Promise<TaskPage> {
    return { tasks: [], nextCursor: '' };
  }

  async groupIdsWithPrefix(): Promise<readonly string[]> {
    return [];
  }

  async groupsNewestFirst(): Promise<GroupPage> {
    return { groups: [], nextCursor: '' };
  }

  announce(): void {
    for (const listener of this.#onLeadership) listener(this.leadership());
  }

  tell(applied: Applied): void {
    for (const listener of this.#onApplied) listener(applied);
  }

  #checkLeads(): void {
    if (!this.leadership().isLeader) throw new JarvisError('no_leader', `${this.nodeName} does not lead`);
  }
}
