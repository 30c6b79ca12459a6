/**
 * Where pending tasks should run: strictly by priority, then submission; each on the best of the nodes that no filter
 * rules out. Pure: the same state and plans in flight give the same plan.
 */
import type { AssignCommand } from '../../../model/commands.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';
import { FILTERS, type Candidate } from './filters.ts';
import { scoreOf } from './scores.ts';

/** An assignment that has been proposed and is not applied yet. */
export interface PlannedAssignment {
  readonly taskId: string;
  readonly node: string;
  readonly session: number;
  readonly resources: Resources;
}

export interface Plan {
  readonly assignments: readonly PlannedAssignment[];
  /** Whether the bound was reached with tasks left that were not looked at. */
  readonly more: boolean;
}

interface OpenNode {
  readonly node: NodeRow;
  readonly allocated: { cpuMillis: number; memoryBytes: number };
  taskCount: number;
}

/** @param inFlight by task id @param most assignments at the most */
export function plan(state: StateView, inFlight: ReadonlyMap<string, PlannedAssignment>, most: number): Plan {
  const nodes = openNodes(state, inFlight);
  const assignments: PlannedAssignment[] = [];
  const hopeless: Resources[] = [];
  for (const task of state.pending()) {
    if (inFlight.has(task.id)) continue;
    if (assignments.length >= most) return { assignments, more: true };
    if (hopeless.some((request) => atLeast(task.resources, request))) continue;
    const best = bestNode(task, nodes);
    if (best === null) {
      hopeless.push(task.resources);
      continue;
    }
    best.allocated.cpuMillis += task.resources.cpuMillis;
    best.allocated.memoryBytes += task.resources.memoryBytes;
    best.taskCount += 1;
    const { name, session } = best.node;
    assignments.push({ taskId: task.id, node: name, session, resources: task.resources });
  }
  return { assignments, more: false };
}

export function toAssignments(planned: readonly PlannedAssignment[]): AssignCommand['assignments'] {
  return planned.map(({ taskId, node, session }) => ({ taskId, node, session }));
}

function openNodes(state: StateView, inFlight: ReadonlyMap<string, PlannedAssignment>): readonly OpenNode[] {
  const nodes = new Map<string, OpenNode>();
  for (const node of state.nodes.values()) {
    const { cpuMillis, memoryBytes } = state.allocated(node.name);
    nodes.set(node.name, {
      node,
      allocated: { cpuMillis, memoryBytes },
      taskCount: state.tasksOn(node.name).size,
    });
  }
  for (const planned of inFlight.values()) {
    const open = nodes.get(planned.node);
    if (open === undefined) continue;
    open.allocated.cpuMillis += planned.resources.cpuMillis;
    open.allocated.memoryBytes += planned.resources.memoryBytes;
    open.taskCount += 1;
  }
  return [...nodes.values()];
}

/** The highest score; among equals the node with the fewest tasks, then the first by name. */
function bestNode(task: TaskRow, nodes: readonly OpenNode[]): OpenNode | null {
  let best: OpenNode | null = null;
  let bestScore = 0;
  for (const open of nodes) {
    if (FILTERS.some((filter) => filter.excludes(task, open) !== null)) continue;
    const score = scoreOf(task, open);
    if (best === null || score > bestScore || (score === bestScore && isBefore(open, best))) {
      best = open;
      bestScore = score;
    }
  }
  return best;
}

function isBefore(a: Candidate, b: Candidate): boolean {
  return a.taskCount < b.taskCount || (a.taskCount === b.taskCount && a.node.name < b.node.name);
}

/** Whether a request is no smaller than one that found no place in this round: then it finds none either. */
function atLeast(request: Resources, hopeless: Resources): boolean {
  return request.cpuMillis >= hopeless.cpuMillis && request.memoryBytes >= hopeless.memoryBytes;
}
