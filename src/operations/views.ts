/** Rows of the state as clients see them: the messages of proto/cluster.proto. Times are RFC 3339 in UTC. */
import type {
  Attempt as AttemptView,
  Drain,
  Limits,
  Node as NodeView,
  Stopping as StoppingView,
  Task as TaskView,
} from '../generated/cluster.ts';
import { formatCpuMillis, formatMemoryBytes } from '../lib/quantities.ts';
import { formatTime } from '../lib/times.ts';
import {
  containerOf,
  drainOf,
  labelsOf,
  limitsOf,
  notBeforeOf,
  onNodeLossOf,
  pressureOf,
  userOf,
} from '../model/earlier-rows.ts';
import type { NodeDrain, NodeRow } from '../model/node.ts';
import type { Attempt, Pairs, Resources, Stopping, TaskLimits, TaskRow, TaskSpec } from '../model/task.ts';
import { logHolderOf } from '../scheduler/core/log-holders.ts';
import type { StateView } from '../scheduler/ports.ts';
import { placementView } from '../spec/placement-wire.ts';
import { specOfTask } from '../model/template.ts';
import type { ClusterInsight, MemberInsight } from './insight.ts';

/** @param options.dependencies of a task of a DAG: ids there */
export function taskView(
  task: TaskRow,
  written: TaskSpec,
  {
    dependencies = [],
    state,
  }: { readonly dependencies?: readonly string[]; readonly state: Pick<StateView, 'logHolders'> },
): TaskView {
  const spec = specOfTask(task, written);
  // While it waits for another try, what the last one came to stands in `attempts` only.
  const waits = task.status === 'PENDING' || task.status === 'WAITING';
  const current = waits ? undefined : task.attempts.at(-1);
  return {
    id: task.id,
    name: task.name,
    ...specView(spec),
    labels: record(labelsOf(task, spec)),
    // As it was changed since, perhaps to nothing.
    not_before: optionalTime(notBeforeOf(task.notBeforeMs === undefined ? spec : task)),
    priority: task.priority,
    status: task.status,
    status_reason: task.statusReason ?? undefined,
    attempt: task.attempt,
    retry_count: task.retryCount,
    node: current?.node,
    exit_code: current?.exitCode ?? undefined,
    signal: current?.signal ?? undefined,
    error: current?.error ?? undefined,
    result: task.result === null || task.result === undefined ? undefined : JSON.stringify(task.result),
    created_at: formatTime(task.createdAtMs),
    scheduled_at: optionalTime(task.scheduledAtMs),
    started_at: optionalTime(task.startedAtMs),
    finished_at: optionalTime(task.finishedAtMs),
    attempts: task.attempts.map((attempt) => attemptView(attempt, task, state)),
    batch_id: task.batchId ?? undefined,
    batch_index: task.batchIndex,
    dag_id: task.dagId ?? undefined,
    dag_task: task.dagTask,
    dependencies: [...dependencies],
  };
}

type SpecPart = Pick<
  TaskView,
  | 'image'
  | 'command'
  | 'env'
  | 'sensitive_env'
  | 'working_dir'
  | 'user'
  | 'mounts'
  | 'network'
  | 'pull_policy'
  | 'resources'
  | 'limits'
  | 'timeout'
  | 'stop_grace'
  | 'retry_policy'
  | 'on_node_loss'
  | 'labels'
  | 'concurrency'
  | 'affinity'
  | 'locality'
>;

/** What the user asked for, with every default filled in. */
function specView(spec: TaskSpec): SpecPart {
  const container = containerOf(spec);
  const hidden = new Set(spec.sensitiveEnv);
  return {
    image: container?.image,
    command: [...spec.command],
    env: record(spec.env.filter(([key]) => !hidden.has(key))),
    sensitive_env: [...hidden],
    working_dir: spec.workingDir ?? undefined,
    user: (container === null ? userOf(spec) : container.user) ?? undefined,
    mounts: (container?.mounts ?? []).map(({ source, target, readOnly }) => ({
      source,
      target,
      read_only: readOnly,
    })),
    network: container?.network,
    pull_policy: container?.pullPolicy,
    resources: {
      cpu: formatCpuMillis(spec.resources.cpuMillis),
      memory: formatMemoryBytes(spec.resources.memoryBytes),
    },
    limits: limitsView(limitsOf(spec)),
    timeout: spec.timeoutMs === null ? undefined : spec.timeoutMs / 1000,
    stop_grace: spec.stopGraceMs / 1000,
    retry_policy: {
      max_attempts: spec.retryPolicy.maxAttempts,
      backoff_strategy: spec.retryPolicy.backoffStrategy,
      backoff_base: spec.retryPolicy.backoffBase,
      max_backoff: spec.retryPolicy.maxBackoff,
      retryable_errors: [...spec.retryPolicy.retryableErrors],
      non_retryable_errors: [...spec.retryPolicy.nonRetryableErrors],
      lists_given: true,
      no_retryable_errors: false,
      no_non_retryable_errors: false,
    },
    on_node_loss: onNodeLossOf(spec),
    labels: record(spec.labels),
    ...placementView(spec),
  };
}

/** Undefined where nothing is capped. */
function limitsView({ cpuMillis, memoryBytes, pids }: TaskLimits): Limits | undefined {
  if (cpuMillis === null && memoryBytes === null && pids === null) return undefined;
  return {
    cpu: cpuMillis === null ? undefined : formatCpuMillis(cpuMillis),
    memory: memoryBytes === null ? undefined : formatMemoryBytes(memoryBytes),
    pids: pids ?? undefined,
  };
}

function attemptView(
  attempt: Attempt,
  { cancelRequested }: Pick<TaskRow, 'cancelRequested'>,
  state: Pick<StateView, 'logHolders'>,
): AttemptView {
  return {
    attempt: attempt.attempt,
    node: attempt.node,
    status: attempt.status,
    exit_code: attempt.exitCode ?? undefined,
    signal: attempt.signal ?? undefined,
    error: attempt.error ?? undefined,
    started_at: optionalTime(attempt.startedAtMs),
    finished_at: optionalTime(attempt.finishedAtMs),
    log_tail: attempt.logTail,
    assignment: attempt.assignment,
    image_digest: attempt.imageDigest ?? undefined,
    log_node: logHolderOf(state, attempt)?.holder,
    stopping: attempt.stopping && stoppingView(attempt.stopping, whoAsked(attempt, cancelRequested)),
  };
}

/** Why its node was told to end it: a person's cancel or a drain; else nobody wants it there any more. */
function whoAsked({ stopFor }: Attempt, cancelRequested: boolean): string {
  if (cancelRequested) return 'cancelled';
  return stopFor ?? 'stopped';
}

function stoppingView({ reason, sinceMs, killAtMs }: Stopping, asked: string): StoppingView {
  const told = { stopped: asked, timeout: 'timeout', leaseLost: 'lease_lost' }[reason];
  return { reason: told, since: formatTime(sinceMs), kill_at: formatTime(killAtMs) };
}

/** Of members, by their names; to be made once for all nodes, of which there may be thousands. Whoever is none is a worker. */
export type MemberRoles = ReadonlyMap<string, MemberInsight['role']>;

export function memberRoles(insight: Pick<ClusterInsight, 'members'>): MemberRoles {
  return new Map(insight.members().map(({ name, role }) => [name, role]));
}

interface NodeFacts {
  readonly allocated: Resources;
  readonly activeTasks: number;
  readonly roles: MemberRoles;
  readonly insight: Pick<ClusterInsight, 'lastHeartbeatMs' | 'usage'>;
}

export function nodeView(node: NodeRow, { allocated, activeTasks, roles, insight }: NodeFacts): NodeView {
  return {
    name: node.name,
    status: node.status,
    role: roles.get(node.name) ?? 'worker',
    address: node.address,
    http: node.http,
    version: node.version,
    labels: record(node.labels),
    drivers: [...node.drivers],
    isolation: node.isolation,
    capacity: amounts(node.capacity),
    allocated: amounts(allocated),
    usage: insight.usage(node.name) ?? undefined,
    pressure: [...pressureOf(node)],
    active_tasks: activeTasks,
    last_heartbeat_at: optionalTime(insight.lastHeartbeatMs(node.name)),
    joined_at: formatTime(node.joinedAtMs),
    schedulable: node.schedulable && drainOf(node) === null,
    drain: drainView(drainOf(node), activeTasks),
  };
}

function drainView(drain: NodeDrain | null, tasksLeft: number): Drain | undefined {
  if (drain === null) return undefined;
  return {
    started_at: formatTime(drain.startedAtMs),
    deadline: formatTime(drain.deadlineMs),
    grace: drain.graceMs === null ? undefined : drain.graceMs / 1000,
    overdue: drain.isOverdue,
    tasks_left: tasksLeft,
    finished_at: optionalTime(drain.finishedAtMs),
    on_exit: drain.startId !== null,
  };
}

function amounts(resources: Resources): { cpu_millis: number; memory_bytes: number } {
  return { cpu_millis: resources.cpuMillis, memory_bytes: resources.memoryBytes };
}

function record(pairs: Pairs): Record<string, string> {
  return Object.fromEntries(pairs);
}

function optionalTime(atMs: number | null): string | undefined {
  return atMs === null ? undefined : formatTime(atMs);
}
