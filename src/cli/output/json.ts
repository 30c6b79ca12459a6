/** Wire messages as the HTTP API writes them: every field present, `null` for absent, `result` as the value it is. */
import type {
  Attempt,
  ClusterStatus,
  Node,
  RetryPolicy,
  Task,
  VersionInfo,
} from '../../generated/cluster.ts';

export interface JsonList {
  readonly items: readonly object[];
  readonly next_cursor: string | null;
}

export function listToJson(items: readonly object[], nextCursor = ''): JsonList {
  return { items, next_cursor: nextCursor === '' ? null : nextCursor };
}

export function taskToJson(task: Task): object {
  return {
    id: task.id,
    name: task.name,
    command: task.command,
    env: task.env,
    working_dir: task.working_dir ?? null,
    resources: task.resources ?? null,
    priority: task.priority,
    timeout: task.timeout ?? null,
    stop_grace: task.stop_grace,
    retry_policy: task.retry_policy === undefined ? null : retryPolicyToJson(task.retry_policy),
    labels: task.labels,
    status: task.status,
    status_reason: task.status_reason ?? null,
    attempt: task.attempt,
    retry_count: task.retry_count,
    node: task.node ?? null,
    exit_code: task.exit_code ?? null,
    signal: task.signal ?? null,
    error: task.error ?? null,
    result: task.result === undefined ? null : (JSON.parse(task.result) as unknown),
    created_at: task.created_at,
    scheduled_at: task.scheduled_at ?? null,
    started_at: task.started_at ?? null,
    finished_at: task.finished_at ?? null,
    attempts: task.attempts.map(attemptToJson),
  };
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

/** Without its assignment, which is the cluster's own affair. */
function attemptToJson(attempt: Attempt): object {
  return {
    attempt: attempt.attempt,
    node: attempt.node,
    status: attempt.status,
    exit_code: attempt.exit_code ?? null,
    signal: attempt.signal ?? null,
    error: attempt.error ?? null,
    started_at: attempt.started_at ?? null,
    finished_at: attempt.finished_at ?? null,
    log_tail: attempt.log_tail,
  };
}

export function nodeToJson(node: Node): object {
  return { ...node, usage: node.usage ?? null, last_heartbeat_at: node.last_heartbeat_at ?? null };
}

export function clusterToJson(status: ClusterStatus): object {
  return { ...status, leader: status.leader === '' ? null : status.leader };
}

export function versionToJson(version: VersionInfo): object {
  return { ...version };
}
