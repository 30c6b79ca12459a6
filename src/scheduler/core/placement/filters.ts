/** What rules a node out for a task. Each can say why, for plans, `explain` and logs. */
import { fits, takesWork } from './fit.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';

export interface Candidate {
  readonly node: NodeRow;
  /** Set aside there by the state and by plans that are not applied yet. */
  readonly allocated: Resources;
  readonly taskCount: number;
}

export interface Filter {
  readonly name: string;
  /** @returns why the node is ruled out, or null */
  excludes(task: TaskRow, candidate: Candidate): string | null;
}

/** In the order in which they are asked: the cheap and general ones first. */
export const FILTERS: readonly Filter[] = [
  { name: 'health', excludes: (_task, { node }) => takesWork(node) },
  {
    name: 'driver',
    excludes: (_task, { node }) =>
      node.drivers.includes('process') || node.drivers.includes('noop')
        ? null
        : `node ${node.name} offers no driver for commands`,
  },
  { name: 'resources', excludes: (task, { node, allocated }) => fits(task.resources, node, allocated) },
];
