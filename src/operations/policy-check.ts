/**
 * Whether the policies of today's nodes leave a place for a task at all. One that every node which could run it
 * forbids is refused where it is submitted: it would wait for ever, and its user would have to find out why.
 */
import type { Fault } from '../lib/errors.ts';
import { policyOf } from '../model/earlier-rows.ts';
import { needsOfTask } from '../model/needs.ts';
import type { NodeRow } from '../model/node.ts';
import type { PolicyViolation } from '../model/policy.ts';
import { violationsOfNeeds } from '../model/policy.ts';
import type { TaskNeeds, TaskSpec } from '../model/task.ts';
import { formatPath } from '../spec/faults.ts';

/** Of nodes in a message. */
const MOST_NAMED = 5;

/**
 * One fault for each thing that is forbidden; none where a node allows the task, or where none could run it as yet.
 * Paths begin with `tasks[i]` where there are several.
 */
export function policyFaults(tasks: readonly TaskSpec[], nodes: Iterable<NodeRow>): readonly Fault[] {
  const open = [...nodes].filter(({ status }) => status !== 'OFFLINE');
  const engines = open.filter(({ drivers }) => drivers.includes('docker'));
  const others = open.filter(({ drivers }) => drivers.includes('process'));
  return tasks.flatMap((task, index) => {
    const needs = needsOfTask(task);
    if (needs === null) return [];
    const at = tasks.length === 1 ? [] : ['tasks', index];
    return forbiddenEverywhere(needs, needs.registry === null ? others : engines).map(
      ({ path, message }) => ({
        path: formatPath([...at, ...path]),
        message,
      }),
    );
  });
}

function forbiddenEverywhere(needs: TaskNeeds, nodes: readonly NodeRow[]): readonly PolicyViolation[] {
  const found = new Map<string, { readonly violation: PolicyViolation; readonly names: string[] }>();
  for (const node of nodes) {
    const violations = violationsOfNeeds(needs, policyOf(node));
    if (violations.length === 0) return [];
    for (const violation of violations) {
      const key = JSON.stringify(violation);
      const known = found.get(key);
      if (known === undefined) found.set(key, { violation, names: [node.name] });
      else known.names.push(node.name);
    }
  }
  return [...found.values()].map(({ violation: { path, message }, names }) => ({
    path,
    message: `${message}, ${names.length === nodes.length ? 'on every node' : `on ${named(names)}`}`,
  }));
}

function named(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
