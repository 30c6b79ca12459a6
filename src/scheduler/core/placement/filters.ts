/** What rules a node out for a task. Each can say why and how nearly, for plans, `explain` and logs. */
import { needsOf } from '../../../model/earlier-rows.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';
import type { Misfit } from './fit.ts';
import { closedTo, crowded, forbidden, lacking, undriven } from './fit.ts';

export interface Candidate {
  readonly node: NodeRow;
  /** Set aside there by the state and by plans that are not applied yet. */
  readonly allocated: Resources;
  readonly taskCount: number;
}

export interface Filter {
  readonly name: string;
  /** @returns null where it has nothing against the node */
  check(task: TaskRow, candidate: Candidate): Misfit | null;
}

/**
 * In the order in which they are asked: the general ones first. Together they ask no less than the fit function of
 * `apply` does. The planner takes tasks of the same request for alike: a filter that looks at more of a task than that
 * has to become part of what is alike (`request.ts`).
 */
export const FILTERS: readonly Filter[] = [
  { name: 'health', check: (_task, { node }) => closedTo(node) },
  { name: 'driver', check: (task, { node }) => undriven(needsOf(task), node) },
  { name: 'policy', check: (task, { node }) => forbidden(needsOf(task), node) },
  { name: 'task_count', check: (_task, { node, taskCount }) => crowded(node, taskCount) },
  {
    name: 'resources',
    check: (task, { node, allocated }) => lacking(task.resources, node, allocated),
  },
];

export interface Rejection {
  readonly filter: Filter;
  readonly misfit: Misfit;
}

/** The first filter that rules the node out. */
export function rejectionOf(task: TaskRow, candidate: Candidate): Rejection | null {
  for (const filter of FILTERS) {
    const misfit = filter.check(task, candidate);
    if (misfit !== null) return { filter, misfit };
  }
  return null;
}
