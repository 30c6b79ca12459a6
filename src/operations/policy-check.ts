/**
 * Whether the policies of today's nodes leave a place for a task at all. One that every node which could run images
 * forbids is refused where it is submitted: it would wait for ever, and its user would have to find out why.
 */
import type { Fault } from '../lib/errors.ts';
import { policyOf } from '../model/earlier-rows.ts';
import type { NodeRow } from '../model/node.ts';
import type { PolicyViolation } from '../model/policy.ts';
import { violationsOf } from '../model/policy.ts';
import type { ContainerSpec, TaskSpec } from '../model/task.ts';
import { formatPath } from '../spec/faults.ts';

/** Of nodes in a message. */
const MOST_NAMED = 5;

/**
 * One fault for each thing that is forbidden; none where a node allows the task, or where none runs images as yet.
 * Paths begin with `tasks[i]` where there are several.
 */
export function policyFaults(tasks: readonly TaskSpec[], nodes: Iterable<NodeRow>): readonly Fault[] {
  const engines = [...nodes].filter(
    ({ status, drivers }) => status !== 'OFFLINE' && drivers.includes('docker'),
  );
  return tasks.flatMap(({ container }, index) => {
    if (container === null) return [];
    const at = tasks.length === 1 ? [] : ['tasks', index];
    return forbiddenEverywhere(container, engines).map(({ path, message }) => ({
      path: formatPath([...at, ...path]),
      message,
    }));
  });
}

function forbiddenEverywhere(
  container: ContainerSpec,
  engines: readonly NodeRow[],
): readonly PolicyViolation[] {
  const found = new Map<string, { readonly violation: PolicyViolation; readonly nodes: string[] }>();
  for (const node of engines) {
    const violations = violationsOf(container, policyOf(node));
    if (violations.length === 0) return [];
    for (const violation of violations) {
      const key = JSON.stringify(violation);
      const known = found.get(key);
      if (known === undefined) found.set(key, { violation, nodes: [node.name] });
      else known.nodes.push(node.name);
    }
  }
  return [...found.values()].map(({ violation: { path, message }, nodes }) => ({
    path,
    message: `${message}, ${nodes.length === engines.length ? 'on every node' : `on ${named(nodes)}`}`,
  }));
}

function named(nodes: readonly string[]): string {
  const more = nodes.length - MOST_NAMED;
  return nodes.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
