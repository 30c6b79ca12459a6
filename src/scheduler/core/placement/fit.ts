/** The one fit function: the planner and apply both ask it, so that they cannot disagree. */
import { limits } from '../../../lib/limits.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources } from '../../../model/task.ts';

/** Why something cannot be placed on a node. */
export interface Misfit {
  /** For people; names the node. */
  readonly reason: string;
  /** How near a miss it is, to compare within one filter: the share of the node that is lacking; 1 where none helps. */
  readonly distance: number;
}

/** Whether a node takes new work at all. @returns null where it does */
export function closedTo(node: NodeRow): Misfit | null {
  const reason = whyClosed(node);
  return reason === null ? null : { reason, distance: 1 };
}

function whyClosed(node: NodeRow): string | null {
  // Before the first inventory of its session nothing is known of what runs there.
  if (node.sessionOpen && !node.reconciled) return `node ${node.name} is registering`;
  if (node.status !== 'AVAILABLE') return `node ${node.name} is ${node.status}`;
  if (!node.sessionOpen) return `node ${node.name} has no session`;
  if (!node.schedulable) return `node ${node.name} is cordoned`;
  return null;
}

/** @param allocated what is set aside there already */
export function lacking(request: Resources, node: NodeRow, allocated: Resources): Misfit | null {
  const { capacity } = node;
  const cpu = allocated.cpuMillis + request.cpuMillis - capacity.cpuMillis;
  const memory = allocated.memoryBytes + request.memoryBytes - capacity.memoryBytes;
  if (cpu <= 0 && memory <= 0) return null;
  const missing = [cpu > 0 ? `${cpu}m cpu` : null, memory > 0 ? `${memory} bytes of memory` : null];
  return {
    reason: `node ${node.name} lacks ${missing.filter((one) => one !== null).join(' and ')}`,
    distance: Math.max(shareOf(cpu, capacity.cpuMillis), shareOf(memory, capacity.memoryBytes)),
  };
}

/** Whether the node has as many tasks as its worker keeps track of. @returns null where it takes one more */
export function crowded(node: NodeRow, taskCount: number): Misfit | null {
  if (taskCount < limits.tasksPerNode) return null;
  return { reason: `node ${node.name} has ${taskCount} tasks, the most that one takes`, distance: 1 };
}

/** Whether the request fits the node now. @param taskCount of those there already @returns null where it does */
export function misfit(
  request: Resources,
  node: NodeRow,
  allocated: Resources,
  taskCount: number,
): Misfit | null {
  return closedTo(node) ?? crowded(node, taskCount) ?? lacking(request, node, allocated);
}

function shareOf(amount: number, whole: number): number {
  return whole > 0 ? amount / whole : 1;
}
