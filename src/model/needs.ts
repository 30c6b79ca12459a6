/** What of a task, beside its resources, decides on which nodes it may run. */
import {
  affinityOf,
  concurrencyOf,
  containerOf,
  limitsOf,
  localityOf,
  notBeforeOf,
  userOf,
} from './earlier-rows.ts';
import { needsOfContainer } from './policy.ts';
import type { TaskNeeds, TaskRow, TaskSpec } from './task.ts';

export function needsOfTask(spec: TaskSpec): TaskNeeds {
  const container = containerOf(spec);
  if (container !== null) return needsOfContainer(container);
  const user = userOf(spec);
  const { cpuMillis, pids } = limitsOf(spec);
  const cgroups = cpuMillis !== null || pids !== null;
  return user === null && !cgroups ? null : { registry: null, user, cgroups };
}

type PlacementOfRow = Pick<TaskRow, 'labels' | 'concurrency' | 'affinity' | 'locality' | 'notBeforeMs'>;

/** What the row of a task repeats of its spec for placement; nothing for most tasks, whose rows stay small. */
export function placementOfTask(spec: TaskSpec): PlacementOfRow {
  const { labels } = spec;
  const concurrency = concurrencyOf(spec);
  const affinity = affinityOf(spec);
  const locality = localityOf(spec);
  const notBeforeMs = notBeforeOf(spec);
  return {
    ...(labels.length === 0 ? {} : { labels }),
    ...(concurrency === null ? {} : { concurrency }),
    ...(affinity === null ? {} : { affinity }),
    ...(locality === null ? {} : { locality }),
    ...(notBeforeMs === null ? {} : { notBeforeMs }),
  };
}
