/** The one fit function: the planner and apply both ask it, so that they cannot disagree. */
import { limits } from '../../../lib/limits.ts';
import type { ClusterRow } from '../../../model/cluster.ts';
import { clusterHas } from '../../../model/command-versions.ts';
import { affinityOf, groupIdOf, needsOf, policyOf, pressureOf } from '../../../model/earlier-rows.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { AntiRule } from '../../../model/placement.ts';
import { labelOf, meetsRule, showAnti, showRule } from '../../../model/placement.ts';
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

/** What fits a node are the row's resources, needs and rules; the rest of it does not matter here. */
export type Fitting = Pick<TaskRow, 'resources' | 'needs' | 'affinity' | 'batchId' | 'dagId'>;

/** What is on a node already. */
export interface NodeUse {
  readonly allocated: Resources;
  readonly taskCount: number;
  /** The first of the rules that keeps apart from a task there. @param groupId of the task that keeps apart */
  meeting(rules: readonly AntiRule[], groupId: string | null): AntiRule | null;
}

/** Whether a node takes new work at all. @returns null where it does */
export function closedTo(node: NodeRow): Misfit | null {
  return unhealthy(node) ?? drained(node) ?? pressed(node);
}

export function unhealthy(node: NodeRow): Misfit | null {
  // Before the first inventory of its session nothing is known of what runs there.
  if (node.sessionOpen && !node.reconciled) return never(`node ${node.name} is registering`);
  const isDrain = node.status === 'DRAINING' || node.status === 'DRAINED';
  if (node.status !== 'AVAILABLE' && !isDrain) return never(`node ${node.name} is ${node.status}`);
  if (!node.sessionOpen) return never(`node ${node.name} has no session`);
  // What comes now waits for a daemon that is away, perhaps for long.
  return isRestarting(node) ? never(`node ${node.name} is being restarted`) : null;
}

/** Somebody wants no new work there. */
export function drained(node: NodeRow): Misfit | null {
  if (node.status === 'DRAINING' || node.status === 'DRAINED')
    return never(`node ${node.name} is ${node.status}`);
  return node.schedulable ? null : never(`node ${node.name} is cordoned`);
}

/** It runs short of something: what is there may need the rest. */
export function pressed(node: NodeRow): Misfit | null {
  const pressure = pressureOf(node);
  return pressure.length === 0 ? null : never(`node ${node.name} is short of ${pressure.join(' and ')}`);
}

function never(reason: string): Misfit {
  return { reason, distance: 1 };
}

/** Of what a node offers for a task without an image either of these will do. */
const COMMAND_DRIVERS: readonly string[] = ['process', 'noop'];

/** @returns null where the node has a driver for it */
export function undriven(needs: TaskNeeds, node: NodeRow): Misfit | null {
  const drivers = needs === null || needs.registry === null ? COMMAND_DRIVERS : ['docker'];
  const isLimitable = node.isolation !== 'none' || !asksForCgroups(needs);
  if (isLimitable && drivers.some((driver) => node.drivers.includes(driver))) return null;
  return never(`node ${node.name} offers no driver for ${kindOf(needs)}`);
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
  return never(`node ${node.name}: ${violation.path.join(' ')} ${violation.message}`);
}

/** By the labels of the node. Of several rules that it does not meet, how many make the distance. */
export function unwanted(task: Pick<TaskRow, 'affinity'>, node: NodeRow): Misfit | null {
  const required = affinityOf(task)?.required;
  if (required === undefined || required.length === 0) return null;
  const unmet = required.filter((rule) => !meetsRule(node.labels, rule));
  const [first] = unmet;
  if (first === undefined) return null;
  const has = labelOf(node.labels, first.key);
  const found = has === undefined ? `no label ${first.key}` : `${first.key}=${has}`;
  const more = unmet.length > 1 ? ` and ${unmet.length - 1} more` : '';
  return {
    reason: `node ${node.name} has ${found}, required is ${showRule(first)}${more}`,
    distance: unmet.length / required.length,
  };
}

/** Whether something is there that the task keeps apart from. */
export function keptApart(
  task: Pick<TaskRow, 'affinity' | 'batchId' | 'dagId'>,
  node: NodeRow,
  use: Pick<NodeUse, 'meeting'>,
): Misfit | null {
  const anti = affinityOf(task)?.anti;
  if (anti === undefined || anti.length === 0) return null;
  const rule = use.meeting(anti, groupIdOf(task));
  return rule === null ? null : never(`node ${node.name} has ${showAnti(rule)}, which it keeps apart from`);
}

const MEBIBYTE = 2 ** 20;

/** How memory is told to people. */
export type ShowMemory = (memoryBytes: number) => string;

/** At least so much, in whole Mi, or in tenths of Gi where it is more than that. */
function inUnits(memoryBytes: number): string {
  const mebibytes = Math.ceil(memoryBytes / MEBIBYTE);
  return mebibytes < 1024 ? `${mebibytes}Mi` : `${Math.ceil(mebibytes / 102.4) / 10}Gi`;
}

/** For what is replicated: as members of every build in the cluster say it, or their states would differ. */
export function replicatedMemory(cluster: Pick<ClusterRow, 'version'> | null): ShowMemory {
  return clusterHas(cluster, 'memoryUnits') ? inUnits : (memoryBytes) => `${memoryBytes} bytes`;
}

/** @param allocated what is set aside there already */
export function lacking(
  request: Resources,
  node: NodeRow,
  allocated: Resources,
  shown: ShowMemory = inUnits,
): Misfit | null {
  const { capacity } = node;
  const cpu = allocated.cpuMillis + request.cpuMillis - capacity.cpuMillis;
  const memory = allocated.memoryBytes + request.memoryBytes - capacity.memoryBytes;
  if (cpu <= 0 && memory <= 0) return null;
  const missing = [cpu > 0 ? `${cpu}m cpu` : null, memory > 0 ? `${shown(memory)} of memory` : null];
  return {
    reason: `node ${node.name} lacks ${missing.filter((one) => one !== null).join(' and ')}`,
    distance: Math.max(shareOf(cpu, capacity.cpuMillis), shareOf(memory, capacity.memoryBytes)),
  };
}

/** Whether the node has as many tasks as its worker keeps track of. @returns null where it takes one more */
export function crowded(node: NodeRow, taskCount: number): Misfit | null {
  if (taskCount < limits.tasksPerNode) return null;
  return never(`node ${node.name} has ${taskCount} tasks, the most that one takes`);
}

/** Whether the task fits the node now, whatever else waits. @returns null where it does */
export function misfit(task: Fitting, node: NodeRow, use: NodeUse): Misfit | null {
  const needs = needsOf(task);
  return (
    closedTo(node) ??
    undriven(needs, node) ??
    forbidden(needs, node) ??
    unwanted(task, node) ??
    keptApart(task, node, use) ??
    crowded(node, use.taskCount) ??
    lacking(task.resources, node, use.allocated)
  );
}

function shareOf(amount: number, whole: number): number {
  return whole > 0 ? amount / whole : 1;
}
