/** What rules a node out for a task. Each can say why and how nearly, for plans, `explain` and logs. */
import { needsOf } from '../../../model/earlier-rows.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Fitting, Misfit, NodeUse } from './fit.ts';
import type { InQueue, QueueState } from './heads.ts';
import { keptForHead } from './heads.ts';
import {
  crowded,
  drained,
  forbidden,
  keptApart,
  lacking,
  pressed,
  undriven,
  unhealthy,
  unwanted,
} from './fit.ts';

export interface Candidate {
  readonly node: NodeRow;
  /** On it by the state and by plans that are not applied yet. */
  readonly use: NodeUse;
  /** Heads of the queue, for which nodes may be kept. */
  readonly waiting: QueueState;
}

/** A task as filters see it. */
export type Filtered = Fitting & InQueue;

export interface Filter {
  readonly name: string;
  /** @returns null where it has nothing against the node */
  check(task: Filtered, candidate: Candidate): Misfit | null;
}

/**
 * The general ones first. Together they ask the same as the fit function of `apply` does. The planner takes tasks of the
 * same request for alike: a filter that looks at more of a task than that has to become part of what is alike
 * (`request.ts`).
 */
export const FILTERS: readonly Filter[] = [
  { name: 'health', check: (_task, { node }) => unhealthy(node) },
  { name: 'drain', check: (_task, { node }) => drained(node) },
  { name: 'pressure', check: (_task, { node }) => pressed(node) },
  { name: 'driver', check: (task, { node }) => undriven(needsOf(task), node) },
  { name: 'policy', check: (task, { node }) => forbidden(needsOf(task), node) },
  { name: 'affinity', check: (task, { node }) => unwanted(task, node) },
  { name: 'anti_affinity', check: (task, { node, use }) => keptApart(task, node, use) },
  { name: 'task_count', check: (_task, { node, use }) => crowded(node, use.taskCount) },
  { name: 'resources', check: (task, { node, use }) => lacking(task.resources, node, use.allocated) },
  { name: 'reservation', check: (task, { node, waiting }) => keptForHead(task, node.name, waiting) },
];
