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
import type { InFlight } from './in-flight.ts';
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

interface DryRunOptions {
  /** Null: nothing is measured. */
  readonly loadOf: MeasuredLoad | null;
  /** How many tasks may run at a time of those that have such a gate, beside the state's own. */
  readonly rooms?: ReadonlyMap<string, number>;
}

/**
 * @param tasks as `newTask` and `memberOf` make them. One of a DAG that waits for others is planned by itself, on the state
 * as it is: nobody knows what there will be once they have ended.
 */
export function dryRun(
  state: StateView,
  tasks: readonly TaskRow[],
  options: DryRunOptions,
): readonly DryRunItem[] {
  const due = tasks.filter(({ status }) => status !== 'WAITING');
  const together = new Placing(state, due, options);
  const alone = new Map<string, Placing>();
  const items = new Map<string, DryRunItem & { count: number }>();
  for (const task of tasks) {
    const waits = task.status === 'WAITING';
    const kind = JSON.stringify([task.priority, requestKey(task), waitsUntilOf(task)]);
    let placing = waits ? alone.get(kind) : together;
    if (placing === undefined) {
      placing = new Placing(state, [task], options);
      alone.set(kind, placing);
    }
    const { node, reasons } = placing.of(task, kind);
    const key = JSON.stringify([task.name, kind, node, waits]);
    const known = items.get(key);
    if (known !== undefined) known.count += 1;
    else items.set(key, { name: task.name, count: 1, node, reasons: waits ? [WAITS, ...reasons] : reasons });
  }
  return [...items.values()];
}

const WAITS: Reason = {
  filter: 'dependencies',
  excluded: 0,
  nearestMiss: 'waits for other tasks of its DAG; planned by itself, as if they had completed',
};

/** Tasks that are planned together, behind what waits already. */
class Placing {
  readonly #view: StateView;
  readonly #planned: InFlight;
  readonly #nodes: ReadonlyMap<string, string>;
  readonly #alone: string | null;
  /** Of those without a node, by kind: they differ in nothing that matters here. */
  readonly #reasons = new Map<string, readonly Reason[]>();

  constructor(state: StateView, tasks: readonly TaskRow[], { loadOf, rooms = new Map() }: DryRunOptions) {
    const queue = new PendingQueue();
    // What is not due yet is planned as if it were: where it would run is what was asked.
    for (const task of tasks) queue.add(task, task.createdAtMs);
    this.#view = viewOf(state, queue, rooms);
    const planner = new Planner(this.#view, NOTHING_IN_FLIGHT);
    if (loadOf !== null) planner.measure(loadOf);
    const { assignments } = planner.plan(tasks.length);
    this.#planned = inFlightOf(new Map(assignments.map((one) => [one.taskId, one])));
    this.#nodes = new Map(assignments.map(({ taskId, node }) => [taskId, node]));
    this.#alone = tasks.length === 1 ? (tasks[0]?.id ?? null) : null;
  }

  /** @param kind the same for tasks that placement does not tell apart */
  of(task: TaskRow, kind: string): Pick<DryRunItem, 'node' | 'reasons'> {
    const node = this.#nodes.get(this.#alone ?? task.id) ?? null;
    if (node !== null) return { node, reasons: dueReasons(this.#view, task) };
    let reasons = this.#reasons.get(kind);
    if (reasons === undefined) {
      reasons = reasonsFor(this.#view, task, this.#planned);
      this.#reasons.set(kind, reasons);
    }
    return { node, reasons };
  }
}

function dueReasons(state: StateView, task: TaskRow): readonly Reason[] {
  if (waitsUntilOf(task) === null) return [];
  const reason = whyWaiting(task, state)?.reason ?? '';
  return [{ filter: 'not_before', excluded: 0, nearestMiss: reason }];
}

/** The state with another queue. */
function viewOf(state: StateView, queue: PendingQueue, rooms: ReadonlyMap<string, number>): StateView {
  return {
    cluster: state.cluster,
    nodes: state.nodes,
    logHolders: state.logHolders,
    tokens: state.tokens,
    joinTokens: state.joinTokens,
    alerts: state.alerts,
    alertChannels: state.alertChannels,
    scaling: state.scaling,
    instances: state.instances,
    scalingDecisions: state.scalingDecisions,
    formerMembers: state.formerMembers,
    copylessNodes: state.copylessNodes,
    tasks: state.tasks,
    specs: state.specs,
    allocated: (node) => state.allocated(node),
    tasksOn: (node) => state.tasksOn(node),
    groupsOn: (node) => state.groupsOn(node),
    keyUse: (key) => state.keyUse(key),
    placeOf: (taskName) => state.placeOf(taskName),
    queuedCount: state.queuedCount,
    queuedRequests: () => queue.requests(),
    unmadeCount: state.unmadeCount,
    statusCount: (status) => state.statusCount(status),
    pending: (skip = () => false, skipGroup) => queue.tasks(skip, skipGroup),
    pendingCount: queue.size,
    positionOf: (task) => queue.positionOf(task),
    retriesDue: (atMs) => state.retriesDue(atMs),
    nextRetryAtMs: () => state.nextRetryAtMs(),
    batches: state.batches,
    dags: state.dags,
    graphs: state.graphs,
    isHeld: (task) => state.isHeld(task),
    roomIn: (gate) => rooms.get(gate) ?? state.roomIn(gate),
    nextWorkingGroup: () => state.nextWorkingGroup(),
  };
}
