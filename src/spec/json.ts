/**
 * Messages as JSON: what the HTTP API returns and `jarvisctl -o json` prints. Every field is present, null where it is
 * absent; `result` is the value that it is.
 */
import type { Attempt, ClusterStatus, Limits, Node, Task, VersionInfo } from '../generated/cluster.ts';

export interface JsonList {
  readonly items: readonly object[];
  readonly next_cursor: string | null;
}

/** @param nextCursor empty at the end */
export function listToJson(items: readonly object[], nextCursor = ''): JsonList {
  return { items, next_cursor: nextCursor === '' ? null : nextCursor };
}

export function taskToJson(task: Task): object {
  const { lists_given: _, ...retryPolicy } = task.retry_policy ?? { lists_given: true };
  return {
    ...task,
    image: task.image ?? null,
    working_dir: task.working_dir ?? null,
    user: task.user ?? null,
    network: task.network ?? null,
    pull_policy: task.pull_policy ?? null,
    limits: task.limits === undefined ? null : limitsToJson(task.limits),
    timeout: task.timeout ?? null,
    retry_policy: retryPolicy,
    status_reason: task.status_reason ?? null,
    node: task.node ?? null,
    exit_code: task.exit_code ?? null,
    signal: task.signal ?? null,
    error: task.error ?? null,
    result: task.result === undefined ? null : (JSON.parse(task.result) as unknown),
    batch_id: null,
    batch_index: null,
    dag_id: null,
    dag_task: null,
    scheduled_at: task.scheduled_at ?? null,
    started_at: task.started_at ?? null,
    finished_at: task.finished_at ?? null,
    attempts: task.attempts.map(attemptToJson),
  };
}

function limitsToJson({ cpu, memory, pids }: Limits): object {
  return { cpu: cpu ?? null, memory: memory ?? null, pids: pids ?? null };
}

function attemptToJson(attempt: Attempt): object {
  return {
    ...attempt,
    exit_code: attempt.exit_code ?? null,
    signal: attempt.signal ?? null,
    error: attempt.error ?? null,
    started_at: attempt.started_at ?? null,
    finished_at: attempt.finished_at ?? null,
    image_digest: attempt.image_digest ?? null,
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
