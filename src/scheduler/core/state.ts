/**
 * The replicated state in memory: nodes, open tasks and their specs, and indexes that follow from them. Indexes change
 * in one place only, from a row before and after, so that a restored state has the same ones by construction.
 */
import { unreachable } from '../../lib/assert.ts';
import { idKey } from '../../lib/ids.ts';
import type { IdKey } from '../../lib/ids.ts';
import type { AlertChannelRow, AlertRow } from '../../model/alert-outbox.ts';
import type { ClusterRow } from '../../model/cluster.ts';
import type { BatchRow, DagRow, GraphRow, GroupRef } from '../../model/group.ts';
import type { CopylessNodeRow } from '../../model/copyless-node.ts';
import type { FormerMemberRow } from '../../model/former-member.ts';
import type { JoinTokenRow } from '../../model/join-token.ts';
import type { LogHolderRow } from '../../model/log-holder.ts';
import type { NodeRow } from '../../model/node.ts';
import { isTerminal } from '../../model/phases.ts';
import type { RowChange, TableName, Tables } from '../../model/rows.ts';
import type { InstanceRow, ScalingDecisionRow, ScalingRow } from '../../model/scaling.ts';
import type { Resources, SpecRow, TaskRow, TaskStatus } from '../../model/task.ts';
import type { TokenRow } from '../../model/token.ts';
import type { KeyUse } from './concurrency-keys.ts';
import { ConcurrencyKeys } from './concurrency-keys.ts';
import { NodeLoads } from './node-loads.ts';
import { GroupIndex } from './group-index.ts';
import { OpenSpecs } from './open-specs.ts';
import { PendingQueue } from './pending-queue.ts';
import type { QueuedRequest, SkipGroup, SkipRequest } from './pending-queue.ts';
import { RecentPlaces } from './recent-places.ts';
import { dueMsOf, RetryTimers } from './retry-timers.ts';
import type { StateView } from './state-view.ts';
import type { TaskGroups } from './task-groups.ts';

const skipNothing: SkipRequest = () => false;

export class ClusterState implements StateView {
  #cluster: ClusterRow | null = null;
  #idKey: IdKey = [];
  readonly #nodes = new Map<string, NodeRow>();
  readonly #logHolders = new Map<string, LogHolderRow>();
  readonly #tokens = new Map<string, TokenRow>();
  readonly #joinTokens = new Map<string, JoinTokenRow>();
  readonly #alerts = new Map<string, AlertRow>();
  readonly #alertChannels = new Map<string, AlertChannelRow>();
  #scaling: ScalingRow | null = null;
  readonly #instances = new Map<string, InstanceRow>();
  readonly #scalingDecisions = new Map<string, ScalingDecisionRow>();
  readonly #formerMembers = new Map<string, FormerMemberRow>();
  readonly #copylessNodes = new Map<string, CopylessNodeRow>();
  readonly #tasks = new Map<string, TaskRow>();
  readonly #specs = new OpenSpecs();
  readonly #loads = new NodeLoads();
  readonly #keys = new ConcurrencyKeys();
  readonly #places = new RecentPlaces();
  readonly #pending = new PendingQueue();
  readonly #retries = new RetryTimers();
  readonly #groups = new GroupIndex();
  readonly #statusCounts = new Map<TaskStatus, number>();

  get cluster(): ClusterRow | null {
    return this.#cluster;
  }

  get idKey(): IdKey {
    return this.#idKey;
  }

  get nodes(): ReadonlyMap<string, NodeRow> {
    return this.#nodes;
  }

  get logHolders(): ReadonlyMap<string, LogHolderRow> {
    return this.#logHolders;
  }

  get tokens(): ReadonlyMap<string, TokenRow> {
    return this.#tokens;
  }

  get joinTokens(): ReadonlyMap<string, JoinTokenRow> {
    return this.#joinTokens;
  }

  get alerts(): ReadonlyMap<string, AlertRow> {
    return this.#alerts;
  }

  get alertChannels(): ReadonlyMap<string, AlertChannelRow> {
    return this.#alertChannels;
  }

  get scaling(): ScalingRow | null {
    return this.#scaling;
  }

  get instances(): ReadonlyMap<string, InstanceRow> {
    return this.#instances;
  }

  get scalingDecisions(): ReadonlyMap<string, ScalingDecisionRow> {
    return this.#scalingDecisions;
  }

  get formerMembers(): ReadonlyMap<string, FormerMemberRow> {
    return this.#formerMembers;
  }

  get copylessNodes(): ReadonlyMap<string, CopylessNodeRow> {
    return this.#copylessNodes;
  }

  get tasks(): ReadonlyMap<string, TaskRow> {
    return this.#tasks;
  }

  get specs(): ReadonlyMap<string, SpecRow> {
    return this.#specs.rows;
  }

  allocated(node: string): Resources {
    return this.#loads.on(node).allocated;
  }

  tasksOn(node: string): ReadonlySet<string> {
    return this.#loads.on(node).taskIds;
  }

  groupsOn(node: string): TaskGroups {
    return this.#loads.on(node).groups;
  }

  keyUse(key: string): KeyUse | null {
    return this.#keys.use(key);
  }

  placeOf(taskName: string): string | null {
    return this.#places.of(taskName);
  }

  get queuedCount(): number {
    return this.#tasks.size - this.#loads.held + this.#groups.unmade;
  }

  get unmadeCount(): number {
    return this.#groups.unmade;
  }

  statusCount(status: TaskStatus): number {
    return this.#statusCounts.get(status) ?? 0;
  }

  pending(skip: SkipRequest = skipNothing, skipGroup?: SkipGroup): Iterable<TaskRow> {
    return this.#pending.tasks(skip, skipGroup);
  }

  queuedRequests(): Iterable<QueuedRequest> {
    return this.#pending.requests();
  }

  positionOf(task: TaskRow): number | null {
    return task.status === 'PENDING' ? this.#pending.positionOf(task) : null;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  retriesDue(atMs: number): Iterable<TaskRow> {
    return this.#retries.due(atMs, this.#tasks);
  }

  nextRetryAtMs(): number | null {
    return this.#retries.nextMs();
  }

  get batches(): ReadonlyMap<string, BatchRow> {
    return this.#groups.batches;
  }

  get dags(): ReadonlyMap<string, DagRow> {
    return this.#groups.dags;
  }

  get graphs(): ReadonlyMap<string, GraphRow> {
    return this.#groups.graphs;
  }

  isHeld(task: Pick<TaskRow, 'batchId' | 'dagId'>): boolean {
    return this.#groups.isHeld(task);
  }

  roomIn(gate: string): number | null {
    return this.#groups.roomIn(gate);
  }

  nextWorkingGroup(): GroupRef | null {
    return this.#groups.nextWorking();
  }

  /** The task of a group at a position, where it is open. */
  openMember(groupId: string, position: number): TaskRow | null {
    return this.#groups.openMember(groupId, position);
  }

  /** Whether memory keeps the row, or leaves it to the store. */
  holdsInMemory<T extends TableName>(table: T, row: Tables[T]): boolean {
    switch (table) {
      case 'idempotency':
      case 'event':
      case 'finished':
      case 'usedKeys':
      case 'blueprint':
      case 'dagName':
        return false;
      case 'batch':
      case 'dag':
        return (row as BatchRow | DagRow).finishedAtMs === null;
      case 'graph':
        return this.#groups.dags.has((row as GraphRow).id);
      case 'task':
        return !isTerminal((row as TaskRow).status);
      case 'spec':
        return this.#specs.isUsed((row as SpecRow).id);
      default:
        return true;
    }
  }

  /** The row as memory holds it; null also where it is left to the store. */
  inMemory<T extends TableName>(table: T, key: string): Tables[T] | null;
  inMemory(table: TableName, key: string): Tables[TableName] | null {
    switch (table) {
      case 'cluster':
        return this.#cluster;
      case 'node':
        return this.#nodes.get(key) ?? null;
      case 'logHolder':
        return this.#logHolders.get(key) ?? null;
      case 'token':
        return this.#tokens.get(key) ?? null;
      case 'joinToken':
        return this.#joinTokens.get(key) ?? null;
      case 'alert':
        return this.#alerts.get(key) ?? null;
      case 'alertChannel':
        return this.#alertChannels.get(key) ?? null;
      case 'scaling':
        return this.#scaling;
      case 'instance':
        return this.#instances.get(key) ?? null;
      case 'scalingDecision':
        return this.#scalingDecisions.get(key) ?? null;
      case 'formerMember':
        return this.#formerMembers.get(key) ?? null;
      case 'copylessNode':
        return this.#copylessNodes.get(key) ?? null;
      case 'task':
        return this.#tasks.get(key) ?? null;
      case 'spec':
        return this.#specs.rows.get(key) ?? null;
      case 'batch':
        return this.#groups.batches.get(key) ?? null;
      case 'dag':
        return this.#groups.dags.get(key) ?? null;
      case 'graph':
        return this.#groups.graphs.get(key) ?? null;
      case 'idempotency':
      case 'event':
      case 'finished':
      case 'usedKeys':
      case 'blueprint':
      case 'dagName':
        return null;
      default:
        return unreachable(table);
    }
  }

  /**
   * A row as the store has it, before anything is applied; in any order, and those that memory does not hold are
   * ignored. Where tasks come before specs, no spec is kept for nothing meanwhile.
   */
  restore<T extends TableName>(table: T, key: string, row: Tables[T]): void {
    if (table === 'task') this.#places.note(row as TaskRow);
    if (table === 'spec' && !this.holdsInMemory(table, row)) this.#specs.keepUnclaimed(key, row as SpecRow);
    else if (table === 'graph' && !this.holdsInMemory(table, row))
      this.#groups.keepGraph(key, row as GraphRow);
    else if (this.holdsInMemory(table, row)) {
      this.#commitOne({ table, key, before: null, after: row } as RowChange);
    }
  }

  /** Takes over what a command changed. The only way in which memory changes. */
  commit(changes: readonly RowChange[]): void {
    this.#specs.forgetUnclaimed();
    this.#groups.forgetUnclaimed();
    // The time before the rest: what comes into the queue is there since then.
    for (const change of changes) if (change.table === 'cluster') this.#setCluster(change.after);
    for (const change of changes) this.#commitOne(change);
    for (const { table, key } of changes) if (table === 'spec') this.#specs.dropUnused(key);
  }

  #commitOne(change: RowChange): void {
    switch (change.table) {
      case 'cluster':
        this.#setCluster(change.after);
        break;
      case 'node':
        set(this.#nodes, change.key, change.after);
        break;
      case 'logHolder':
        set(this.#logHolders, change.key, change.after);
        break;
      case 'token':
        set(this.#tokens, change.key, change.after);
        break;
      case 'joinToken':
        set(this.#joinTokens, change.key, change.after);
        break;
      case 'alert':
        set(this.#alerts, change.key, change.after);
        break;
      case 'alertChannel':
        set(this.#alertChannels, change.key, change.after);
        break;
      case 'scaling':
        this.#scaling = change.after;
        break;
      case 'instance':
        set(this.#instances, change.key, change.after);
        break;
      case 'scalingDecision':
        set(this.#scalingDecisions, change.key, change.after);
        break;
      case 'formerMember':
        set(this.#formerMembers, change.key, change.after);
        break;
      case 'copylessNode':
        set(this.#copylessNodes, change.key, change.after);
        break;
      case 'spec':
        this.#specs.set(change.key, change.after);
        break;
      case 'task':
        this.#setTask(change.key, change.before, change.after);
        break;
      case 'batch':
        this.#groups.setBatch(change.key, change.after);
        break;
      case 'dag':
        this.#groups.setDag(change.key, change.after);
        break;
      case 'graph':
        this.#groups.setGraph(change.key, change.after);
        break;
      case 'idempotency':
      case 'event':
      case 'finished':
      case 'usedKeys':
      case 'blueprint':
      case 'dagName':
        break;
    }
  }

  #setCluster(cluster: ClusterRow | null): void {
    if (cluster !== null && cluster.clusterId !== this.#cluster?.clusterId)
      this.#idKey = idKey(cluster.clusterId);
    this.#cluster = cluster;
  }

  #setTask(id: string, before: TaskRow | null, after: TaskRow | null): void {
    const open = after !== null && !isTerminal(after.status) ? after : null;
    if (open !== null && !this.#tasks.has(id)) this.#specs.use(open.specId, 1);
    if (open === null && this.#tasks.has(id) && before !== null) this.#specs.use(before.specId, -1);
    // What is over stands in no index, also where it expires or is begun anew.
    const queuedMs = before !== null && !isTerminal(before.status) ? this.#unindex(before) : null;
    set(this.#tasks, id, open);
    this.#groups.setTask(before, open);
    if (open !== null) this.#index(open, queuedMs ?? this.#runnableSinceMs(before, open));
    if (after !== null && after.attempts !== before?.attempts) this.#places.note(after);
  }

  /** Of a row that was not in the queue: as the time stands or, where it is read from the store, as the row has it. */
  #runnableSinceMs(before: TaskRow | null, { createdAtMs, notBeforeMs, attempts }: TaskRow): number {
    if (before !== null) return this.#cluster?.timeMs ?? 0;
    return Math.max(createdAtMs, notBeforeMs ?? 0, attempts.at(-1)?.finishedAtMs ?? 0);
  }

  #count({ status }: TaskRow, difference: 1 | -1): void {
    this.#statusCounts.set(status, this.statusCount(status) + difference);
  }

  #index(task: TaskRow, sinceMs: number): void {
    this.#count(task, 1);
    const dueMs = dueMsOf(task);
    if (dueMs !== null) this.#retries.set(task.id, dueMs);
    else if (task.status === 'PENDING') this.#pending.add(task, sinceMs);
    this.#loads.add(task);
    this.#keys.add(task);
  }

  /** @returns since when it could run; null: it was not in the queue */
  #unindex(task: TaskRow): number | null {
    this.#count(task, -1);
    this.#loads.remove(task);
    this.#keys.remove(task);
    if (dueMsOf(task) === null) return task.status === 'PENDING' ? this.#pending.remove(task) : null;
    this.#retries.delete(task.id);
    return null;
  }
}

function set<V>(map: Map<string, V>, key: string, value: V | null): void {
  if (value === null) map.delete(key);
  else map.set(key, value);
}
