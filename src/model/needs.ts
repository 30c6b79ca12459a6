/** What of a task, beside its resources, decides on which nodes it may run. */
import { containerOf, limitsOf, userOf } from './earlier-rows.ts';
import { needsOfContainer } from './policy.ts';
import type { TaskNeeds, TaskSpec } from './task.ts';

export function needsOfTask(spec: TaskSpec): TaskNeeds {
  const container = containerOf(spec);
  if (container !== null) return needsOfContainer(container);
  const user = userOf(spec);
  const { cpuMillis, pids } = limitsOf(spec);
  const cgroups = cpuMillis !== null || pids !== null;
  return user === null && !cgroups ? null : { registry: null, user, cgroups };
}
