/**
 * Messages as JSON: what the HTTP API returns and `jarvisctl -o json` prints. Every field is present, null where it is
 * absent; `result` is the value that it is.
 */
import type { Attempt, ClusterStatus, Node, Task, VersionInfo } from '../generated/cluster.ts';

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
    working_dir: task.working_dir ?? null,
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

function attemptToJson(attempt: Attempt): object {
  return {
    ...attempt,
    exit_code: attempt.exit_code ?? null,
    signal: attempt.signal ?? null,
    error: attempt.error ?? null,
    started_at: attempt.started_at ?? null,
    finished_at: attempt.finished_at ?? null,
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
