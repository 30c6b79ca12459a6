/**
 * Where tasks would run if they were submitted now, and why not: they are planned behind what waits already, which fits
 * nowhere, or would have been placed. Changes nothing.
 */
import { waitsUntilOf } from '../../../model/earlier-rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import { PendingQueue } from '../pending-queue.ts';
import { requestKey } from '../request.ts';
import type { StateView } from '../state-view.ts';
import type { Reason } from './explain.ts';
import { NOTHING_IN_FLIGHT, reasonsFor } from './explain.ts';
import { inFlightOf } from './in-flight.ts';
import type { MeasuredLoad } from './planner.ts';
import { Planner } from './planner.ts';
import { whyWaiting } from './waiting.ts';

/** Equal tasks that would run on the same node, or on none. */
export interface DryRunItem {
  readonly name: string;
  readonly count: number;
  readonly node: string | null;
  /** Also of one that has a node, where it would not run there at once. */
  readonly reasons: readonly Reason[];
}

/**
 * @param tasks as `newTask` makes them; of a batch with its id, so that they keep apart from each other
 * @param loadOf null: nothing is measured
 */
export function dryRun(
  state: StateView,
  tasks: readonly TaskRow[],
  loadOf: MeasuredLoad | null,
): readonly DryRunItem[] {
  const queue = new PendingQueue();
  // What is not due yet is planned as if it were: where it would run is what was asked.
  for (const task of tasks) queue.add(task);
  const planner = new Planner(viewOf(state, queue), NOTHING_IN_FLIGHT);
  if (loadOf !== null) planner.measure(loadOf);
  const { assignments } = planner.plan(tasks.length);
  const planned = inFlightOf(new Map(assignments.map((one) => [one.taskId, one])));
  const nodes = new Map(assignments.map(({ taskId, node }) => [taskId, node]));
  const items = new Map<string, DryRunItem & { count: number }>();
  for (const task of tasks) {
    const node = nodes.get(task.id) ?? null;
    const key = JSON.stringify([task.name, task.priority, requestKey(task), waitsUntilOf(task), node]);
    const known = items.get(key);
    if (known !== undefined) known.count += 1;
    else {
      const reasons = node === null ? reasonsFor(state, task, planned) : dueReasons(state, task);
      items.set(key, { name: task.name, count: 1, node, reasons });
    }
  }
  return [...items.values()];
}

function dueReasons(state: StateView, task: TaskRow): readonly Reason[] {
  if (waitsUntilOf(task) === null) return [];
  const reason = whyWaiting(task, state)?.reason ?? '';
  return [{ filter: 'not_before', excluded: 0, nearestMiss: reason }];
}

/** The state with another queue. */
function viewOf(state: StateView, queue: PendingQueue): StateView {
  return {
    cluster: state.cluster,
    nodes: state.nodes,
    tasks: state.tasks,
    specs: state.specs,
    allocated: (node) => state.allocated(node),
    tasksOn: (node) => state.tasksOn(node),
    groupsOn: (node) => state.groupsOn(node),
    keyUse: (key) => state.keyUse(key),
    placeOf: (taskName) => state.placeOf(taskName),
    queuedCount: state.queuedCount,
    pending: (skip = () => false) => queue.tasks(skip),
    pendingCount: queue.size,
    positionOf: (task) => queue.positionOf(task),
    retriesDue: (atMs) => state.retriesDue(atMs),
    nextRetryAtMs: () => state.nextRetryAtMs(),
    batches: state.batches,
    dags: state.dags,
    graphs: state.graphs,
    isHeld: (task) => state.isHeld(task),
    roomIn: (gate) => state.roomIn(gate),
    nextWorkingGroup: () => state.nextWorkingGroup(),
  };
}
