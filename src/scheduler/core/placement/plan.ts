/**
 * Where pending tasks should run: strictly by priority, then submission; each on the best of the nodes that no filter
 * rules out. Pure: the same state and plans in flight give the same plan.
 */
import type { AssignCommand } from '../../../model/commands.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources, TaskRow } from '../../../model/task.ts';
import { requestOf } from '../request.ts';
import type { StateView } from '../state-view.ts';
import type { Reason } from './explain.ts';
import { explain } from './explain.ts';
import type { Candidate } from './filters.ts';
import { rejectionOf } from './filters.ts';
import { Gates } from './gates.ts';
import { HopelessRequests } from './hopeless.ts';
import { scoreOf } from './scores.ts';

/** An assignment that has been proposed and is not applied yet. */
export interface PlannedAssignment {
  readonly taskId: string;
  readonly node: string;
  readonly session: number;
  readonly resources: Resources;
}

/** A task that fits no node now; it stands for all of the queue that have its needs and request as much or more. */
interface Unplaced {
  readonly taskId: string;
  readonly resources: Resources;
  readonly reasons: readonly Reason[];
}

export interface Plan {
  readonly assignments: readonly PlannedAssignment[];
  readonly unplaced: readonly Unplaced[];
  /** Whether the limit was reached with tasks left that were not looked at. */
  readonly more: boolean;
}

interface OpenNode extends Candidate {
  readonly allocated: { cpuMillis: number; memoryBytes: number };
  taskCount: number;
}

/** @param inFlight by task id; counted as if applied @param limit assignments at the most */
export function plan(
  state: StateView,
  inFlight: ReadonlyMap<string, PlannedAssignment>,
  limit: number,
): Plan {
  const nodes = openNodes(state, inFlight);
  const assignments: PlannedAssignment[] = [];
  const unplaced: Unplaced[] = [];
  const hopeless = new HopelessRequests();
  const gates = new Gates(state, inFlight.keys());
  for (const task of state.pending((request) => gates.isFull(request.gate) || hopeless.includes(request))) {
    if (inFlight.has(task.id) || state.isHeld(task)) continue;
    if (assignments.length >= limit) return { assignments, unplaced, more: true };
    const best = bestNode(task, nodes);
    if (best === null) {
      hopeless.add(requestOf(task));
      unplaced.push({ taskId: task.id, resources: task.resources, reasons: explain(task, nodes) });
      continue;
    }
    take(best, task.resources);
    gates.take(task);
    const { name, session } = best.node;
    assignments.push({ taskId: task.id, node: name, session, resources: task.resources });
  }
  return { assignments, unplaced, more: false };
}

export function toAssignments(planned: readonly PlannedAssignment[]): AssignCommand['assignments'] {
  return planned.map(({ taskId, node, session }) => ({ taskId, node, session }));
}

function openNodes(state: StateView, inFlight: ReadonlyMap<string, PlannedAssignment>): readonly OpenNode[] {
  const nodes = new Map<string, OpenNode>();
  for (const node of state.nodes.values()) nodes.set(node.name, asOpenNode(state, node));
  for (const planned of inFlight.values()) {
    const open = nodes.get(planned.node);
    if (open !== undefined) take(open, planned.resources);
  }
  return [...nodes.values()];
}

function asOpenNode(state: StateView, node: NodeRow): OpenNode {
  const { cpuMillis, memoryBytes } = state.allocated(node.name);
  return { node, allocated: { cpuMillis, memoryBytes }, taskCount: state.tasksOn(node.name).size };
}

function take(open: OpenNode, request: Resources): void {
  open.allocated.cpuMillis += request.cpuMillis;
  open.allocated.memoryBytes += request.memoryBytes;
  open.taskCount += 1;
}

/** The highest score; among equals the node with the fewest tasks, then the first by name. */
function bestNode(task: TaskRow, nodes: readonly OpenNode[]): OpenNode | null {
  let best: OpenNode | null = null;
  let bestScore = 0;
  for (const open of nodes) {
    if (rejectionOf(task, open) !== null) continue;
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
