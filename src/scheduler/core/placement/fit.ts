/** The one fit function: the planner and apply both ask it, so that they cannot disagree. */
import { limits } from '../../../lib/limits.ts';
import { needsOf, policyOf } from '../../../model/earlier-rows.ts';
import type { NodeRow } from '../../../model/node.ts';
import { violationsOfNeeds } from '../../../model/policy.ts';
import type { Resources, TaskNeeds, TaskRow } from '../../../model/task.ts';
import { isRestarting } from '../../../model/timeouts.ts';

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
  // What comes now waits for a daemon that is away, perhaps for long.
  if (isRestarting(node)) return `node ${node.name} is being restarted`;
  if (!node.schedulable) return `node ${node.name} is cordoned`;
  return null;
}

/** Of what a node offers for a task without an image either of these will do. */
const COMMAND_DRIVERS: readonly string[] = ['process', 'noop'];

/** @returns null where the node has a driver for it */
export function undriven(needs: TaskNeeds, node: NodeRow): Misfit | null {
  const drivers = needs === null || needs.registry === null ? COMMAND_DRIVERS : ['docker'];
  const isLimitable = node.isolation !== 'none' || !asksForCgroups(needs);
  if (isLimitable && drivers.some((driver) => node.drivers.includes(driver))) return null;
  return { reason: `node ${node.name} offers no driver for ${kindOf(needs)}`, distance: 1 };
}

/** What a task of such needs is, in messages. */
export function kindOf(needs: TaskNeeds): string {
  if (needs !== null && needs.registry !== null) return 'images';
  return asksForCgroups(needs) ? 'commands whose cpu or processes are limited' : 'commands';
}

function asksForCgroups(needs: TaskNeeds): boolean {
  return needs !== null && needs.registry === null && needs.cgroups;
}

/** @returns null where the node's policy allows it; else the first thing that it forbids */
export function forbidden(needs: TaskNeeds, node: NodeRow): Misfit | null {
  const [violation] = violationsOfNeeds(needs, policyOf(node));
  if (violation === undefined) return null;
  return { reason: `node ${node.name}: ${violation.path.join(' ')} ${violation.message}`, distance: 1 };
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

/** Whether the task fits the node now. @param taskCount of those there already @returns null where it does */
export function misfit(
  task: Pick<TaskRow, 'resources' | 'needs'>,
  node: NodeRow,
  allocated: Resources,
  taskCount: number,
): Misfit | null {
  const needs = needsOf(task);
  return (
    closedTo(node) ??
    undriven(needs, node) ??
    forbidden(needs, node) ??
    crowded(node, taskCount) ??
    lacking(task.resources, node, allocated)
  );
}

function shareOf(amount: number, whole: number): number {
  return whole > 0 ? amount / whole : 1;
}
