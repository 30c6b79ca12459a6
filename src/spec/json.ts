/**
 * Messages as JSON: what the HTTP API returns and `jarvisctl -o json` prints. Every field is present, null where it is
 * absent; `result` is the value that it is.
 */
import type {
  Attempt,
  Batch,
  ClusterStatus,
  Event,
  Drain,
  Explanation,
  Dag,
  DagTask,
  Member,
  NodeReport,
  Limits,
  LogLevel,
  Node,
  NodeChange,
  ClusterSettings,
  RemoveNodeResponse,
  RetryPolicy,
  SubmitBatchResponse,
  Task,
  TaskError,
  TaskPlan,
  VersionInfo,
} from '../generated/cluster.ts';

import { placementToJson } from './placement-wire.ts';

export interface JsonList {
  readonly items: readonly object[];
  readonly next_cursor: string | null;
}

/** @param nextCursor empty at the end */
export function listToJson(items: readonly object[], nextCursor = ''): JsonList {
  return { items, next_cursor: nextCursor === '' ? null : nextCursor };
}

/** Field by field: the answer reads the same whether the task was made here or came over the wire. */
export function taskToJson(task: Task): object {
  return {
    id: task.id,
    name: task.name,
    image: task.image ?? null,
    command: task.command,
    env: environmentToJson(task),
    working_dir: task.working_dir ?? null,
    user: task.user ?? null,
    mounts: task.mounts.map(({ source, target, read_only }) => ({ source, target, read_only })),
    network: task.network ?? null,
    pull_policy: task.pull_policy ?? null,
    resources: { cpu: task.resources?.cpu ?? null, memory: task.resources?.memory ?? null },
    limits: task.limits === undefined ? null : limitsToJson(task.limits),
    priority: task.priority,
    timeout: task.timeout ?? null,
    stop_grace: task.stop_grace,
    retry_policy: task.retry_policy === undefined ? null : retryPolicyToJson(task.retry_policy),
    // A leader of an earlier version does not say.
    on_node_loss: task.on_node_loss || 'reschedule',
    labels: task.labels,
    not_before: task.not_before ?? null,
    ...placementToJson(task),
    status: task.status,
    status_reason: task.status_reason ?? null,
    attempt: task.attempt,
    retry_count: task.retry_count,
    node: task.node ?? null,
    exit_code: task.exit_code ?? null,
    signal: task.signal ?? null,
    error: errorToJson(task.error),
    result: task.result === undefined ? null : (JSON.parse(task.result) as unknown),
    batch_id: task.batch_id ?? null,
    batch_index: task.batch_index ?? null,
    dag_id: task.dag_id ?? null,
    dag_task: task.dag_task ?? null,
    dependencies: task.dag_id === undefined ? null : task.dependencies,
    created_at: task.created_at,
    scheduled_at: task.scheduled_at ?? null,
    started_at: task.started_at ?? null,
    finished_at: task.finished_at ?? null,
    attempts: task.attempts.map(attemptToJson),
  };
}

/** Of a sensitive variable only that there is one. */
function environmentToJson({ env, sensitive_env: hidden }: Task): object {
  const shown: [string, unknown][] = Object.entries(env);
  const all = [...shown, ...hidden.map((key): [string, unknown] => [key, { sensitive: true }])];
  return Object.fromEntries(all.sort(([left], [right]) => (left < right ? -1 : Number(left > right))));
}

export function explanationToJson({ id, status, position, reasons }: Explanation): object {
  return { id, status, position: position ?? null, reasons };
}

export function planToJson({ index, items }: TaskPlan): object {
  return {
    index,
    items: items.map(({ name, count, node, reasons }) => ({ name, count, node: node ?? null, reasons })),
  };
}

function errorToJson(error: TaskError | undefined): object | null {
  return error === undefined ? null : { type: error.type, message: error.message };
}

function retryPolicyToJson(policy: RetryPolicy): object {
  return {
    max_attempts: policy.max_attempts ?? null,
    backoff_strategy: policy.backoff_strategy ?? null,
    backoff_base: policy.backoff_base ?? null,
    max_backoff: policy.max_backoff ?? null,
    retryable_errors: policy.retryable_errors,
    non_retryable_errors: policy.non_retryable_errors,
  };
}

function limitsToJson({ cpu, memory, pids }: Limits): object {
  return { cpu: cpu ?? null, memory: memory ?? null, pids: pids ?? null };
}

function attemptToJson(attempt: Attempt): object {
  return {
    attempt: attempt.attempt,
    assignment: attempt.assignment,
    node: attempt.node,
    status: attempt.status,
    exit_code: attempt.exit_code ?? null,
    signal: attempt.signal ?? null,
    error: errorToJson(attempt.error),
    started_at: attempt.started_at ?? null,
    finished_at: attempt.finished_at ?? null,
    log_tail: attempt.log_tail,
    image_digest: attempt.image_digest ?? null,
    log_node: attempt.log_node ?? attempt.node,
    stopping: attempt.stopping ?? null,
  };
}

export function settingsToJson({
  heartbeat,
  membership,
  settling_timeout: settling,
  blocks,
}: ClusterSettings): object {
  return {
    heartbeat,
    membership: { ...membership, voters: membership?.voters ?? null },
    ...(blocks === '' ? {} : (JSON.parse(blocks) as object)),
    settling_timeout: settling ?? null,
  };
}

export function eventToJson(event: Event): object {
  return {
    index: event.index,
    position: event.position,
    time: event.time,
    kind: event.kind,
    id: event.id,
    name: event.name,
    old_status: event.old_status ?? null,
    new_status: event.new_status ?? null,
    reason: event.reason ?? null,
  };
}

export function nodeToJson(node: Node): object {
  return {
    ...node,
    usage: node.usage ?? null,
    last_heartbeat_at: node.last_heartbeat_at ?? null,
    drain: drainToJson(node.drain),
  };
}

function drainToJson(drain: Drain | undefined): object | null {
  if (drain === undefined) return null;
  return { ...drain, grace: drain.grace ?? null, finished_at: drain.finished_at ?? null };
}

/** The node as it is then, with what else its caller should know. */
export function nodeChangeToJson({ node, warnings }: NodeChange): object {
  return { ...(node === undefined ? {} : nodeToJson(node)), warnings };
}

export function logLevelToJson({ node, level, configured, until }: LogLevel): object {
  return { node, level, configured, until: until ?? null };
}

export function removalToJson(removal: RemoveNodeResponse): object {
  return { ...removal, member: removal.member ?? null };
}

/** What is not known, or not there, is null. */
export function clusterToJson(status: ClusterStatus): object {
  return {
    ...status,
    leader: status.leader === '' ? null : status.leader,
    failure_tolerance: status.failure_tolerance ?? null,
    joint: status.joint ?? null,
    transfer_target: status.transfer_target ?? null,
    members: status.members.map(memberToJson),
    node: reportToJson(status.node),
  };
}

export function memberToJson(member: Member): object {
  return {
    ...member,
    raft_id: member.raft_id === 0 ? null : member.raft_id,
    state: member.state === '' ? null : member.state,
    match_index: member.match_index ?? null,
    next_index: member.next_index ?? null,
    lag: member.lag ?? null,
    inflight: member.inflight ?? null,
    paused: member.paused ?? null,
    last_contact_seconds: member.last_contact_seconds ?? null,
    snapshot: member.snapshot ?? null,
    version: member.version ?? null,
    node_status: member.node_status ?? null,
    report: reportToJson(member.report),
  };
}

function reportToJson(report: NodeReport | undefined): object | null {
  if (report === undefined) return null;
  return {
    ...report,
    vote: report.vote ?? null,
    leader: report.leader ?? null,
    log: report.log ?? null,
  };
}

export function batchToJson(batch: Batch): object {
  return {
    ...batch,
    status_reason: batch.status_reason ?? null,
    max_parallel: batch.max_parallel ?? null,
    max_failures: batch.max_failures ?? null,
    started_at: batch.started_at ?? null,
    finished_at: batch.finished_at ?? null,
  };
}

export function submittedBatchToJson({ batch_id, tasks }: SubmitBatchResponse): object {
  return { batch_id, tasks: tasks.map(({ id, name }) => ({ id, name })) };
}

/** Without its tasks where it stands in a list. */
export function dagToJson({ tasks, ...dag }: Dag): object {
  const json = batchToJson(dag);
  return tasks.length === 0 ? json : { ...json, tasks: tasks.map(dagTaskToJson) };
}

function dagTaskToJson(task: DagTask): object {
  return {
    ...task,
    status_reason: task.status_reason ?? null,
    node: task.node ?? null,
    exit_code: task.exit_code ?? null,
    started_at: task.started_at ?? null,
    finished_at: task.finished_at ?? null,
  };
}

export function versionToJson(version: VersionInfo): object {
  return { ...version };
}
