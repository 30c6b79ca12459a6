/** Batches and DAGs as clients see them: the messages of proto/cluster.proto. Times are RFC 3339 in UTC. */
import type { Batch, Dag, DagTask } from '../generated/cluster.ts';
import type { GroupRow } from '../model/group.ts';
import type { TaskRow } from '../model/task.ts';

export function batchView(group: GroupRow): Batch {
  return {
    id: group.id,
    name: group.name,
    status: group.status,
    status_reason: group.statusReason ?? undefined,
    size: group.size,
    counts: { ...group.counts },
    max_parallel: group.maxParallel ?? undefined,
    max_failures: group.maxFailures ?? undefined,
    created_at: time(group.createdAtMs) ?? '',
    started_at: time(group.startedAtMs),
    finished_at: time(group.finishedAtMs),
  };
}

export function dagView(group: GroupRow, tasks: readonly DagTask[]): Dag {
  return { ...batchView(group), tasks: [...tasks] };
}

export function dagTaskView(task: TaskRow, dependencies: readonly string[]): DagTask {
  const waits = task.status === 'PENDING' || task.status === 'WAITING';
  const current = waits ? undefined : task.attempts.at(-1);
  return {
    id: task.id,
    name: task.name,
    dag_task: task.dagTask ?? '',
    dependencies: [...dependencies],
    status: task.status,
    status_reason: task.statusReason ?? undefined,
    attempt: task.attempt,
    node: current?.node,
    exit_code: current?.exitCode ?? undefined,
    started_at: time(task.startedAtMs),
    finished_at: time(task.finishedAtMs),
  };
}

function time(atMs: number | null): string | undefined {
  return atMs === null ? undefined : new Date(atMs).toISOString();
}
