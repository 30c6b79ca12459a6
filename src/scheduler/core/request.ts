/**
 * What placement looks at of a task: tasks of the same request are alike to it, so that what is found out about one of
 * them goes for all.
 */
import { needsOf } from '../../model/earlier-rows.ts';
import type { Resources, TaskRow } from '../../model/task.ts';

export interface TaskRequest {
  readonly resources: Resources;
  /** The same for the same needs, and for no others; empty: of a command that needs nothing. */
  readonly needsKey: string;
  /** What bounds how many of them run at a time; empty: nothing does. */
  readonly gate: string;
}

export function requestOf(task: TaskRow): TaskRequest {
  return { resources: task.resources, needsKey: needsKeyOf(task), gate: task.gate ?? '' };
}

/** The same for tasks of the same request, and for no others. */
export function requestKey(task: TaskRow): string {
  const { cpuMillis, memoryBytes } = task.resources;
  return `${cpuMillis}/${memoryBytes}/${task.gate ?? ''}/${needsKeyOf(task)}`;
}

function needsKeyOf(task: TaskRow): string {
  const needs = needsOf(task);
  if (needs === null) return '';
  if (needs.registry === null) return JSON.stringify([null, needs.user, needs.cgroups]);
  const { registry, user, hostNetwork, mounts } = needs;
  // Field by field: rows that come out of the store may have theirs in another order.
  return JSON.stringify([
    registry,
    user,
    hostNetwork,
    ...mounts.map(({ source, readOnly }) => [source, readOnly]),
  ]);
}
