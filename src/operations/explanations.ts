/** Why tasks wait, and where tasks would run, as clients see it: the messages of proto/cluster.proto. */
import type { Explanation, PlanItem, Reason as ReasonView, Task, TaskPlan } from '../generated/cluster.ts';
import type { TaskRow, TaskSpec } from '../model/task.ts';
import { RESCHEDULING } from '../scheduler/core/apply/task-changes.ts';
import { dryRun } from '../scheduler/core/placement/dry-run.ts';
import type { Reason } from '../scheduler/core/placement/explain.ts';
import { reasonsFor } from '../scheduler/core/placement/explain.ts';
import { whyWaiting } from '../scheduler/core/placement/waiting.ts';
import { whyNowhere } from '../scheduler/core/placement/why-nowhere.ts';
import type { Replica, StateView } from '../scheduler/ports.ts';
import type { BatchSpec } from '../spec/batch-schema.ts';
import type { DagSpec } from '../spec/dag-schema.ts';
import type { StoredTask } from './group-members.ts';
import { measuredLoadOf } from './nodes.ts';
import type { ClusterInsight } from './insight.ts';
import type { PlannedAt } from './planned-rows.ts';
import { plannedBatch, plannedDag, plannedTasks } from './planned-rows.ts';
import { taskView } from './views.ts';

interface TaskViewOptions {
  readonly dependencies: readonly string[];
  /** Whether any node could hold it is judged by the nodes of now: that may take a look at all of them. */
  readonly judged: boolean;
}

/** What a task waits for, where that is no node, is what its status says for the time being. */
export function taskAsItWaits(
  state: StateView,
  { task, spec }: StoredTask,
  { dependencies, judged }: TaskViewOptions,
): Task {
  const view = taskView(task, spec.spec, { dependencies, state });
  if (task.status !== 'PENDING') return view;
  const waits = whyWaiting(task, state);
  if (waits !== null) return { ...view, status_reason: waits.reason };
  if (!judged || task.statusReason === RESCHEDULING) return view;
  return { ...view, status_reason: whyNowhere(task, state.nodes.values(), state.cluster) ?? undefined };
}

/** Only a PENDING task waits for a place; of any other, what its status says is all. */
export function explanationOf(state: StateView, task: TaskRow): Explanation {
  const { id, status } = task;
  return {
    id,
    status,
    position: state.positionOf(task) ?? undefined,
    reasons: status === 'PENDING' ? reasonsFor(state, task).map(reasonView) : [],
  };
}

/** What is to be planned, checked. */
export interface Planned {
  readonly tasks: readonly TaskSpec[];
  readonly batches: readonly BatchSpec[];
  readonly dags: readonly DagSpec[];
}

/** Where tasks would run if they were submitted now, one after the other. */
export function taskPlanOf(
  { state, appliedIndex }: Pick<Replica, 'state' | 'appliedIndex'>,
  { tasks, batches, dags }: Planned,
  insight: Pick<ClusterInsight, 'usage'>,
): TaskPlan {
  const nowMs = state.cluster?.timeMs ?? 0;
  let index = appliedIndex;
  const next = (): PlannedAt => ({ index: (index += 1), nowMs });
  const rooms = new Map<string, number>();
  const bounded = (rows: readonly TaskRow[], maxParallel: number | null): readonly TaskRow[] => {
    const gate = rows[0]?.gate;
    if (gate !== undefined && maxParallel !== null) rooms.set(gate, maxParallel);
    return rows;
  };
  const rows = [
    ...plannedTasks(tasks, next()),
    ...batches.flatMap((batch) => bounded(plannedBatch(batch, next()), batch.maxParallel)),
    ...dags.flatMap((dag) => bounded(plannedDag(dag, next()), dag.maxParallel)),
  ];
  const items = dryRun(state, rows, {
    rooms,
    loadOf: (node) => measuredLoadOf(insight.usage(node)),
  });
  return {
    index: appliedIndex,
    items: items.map(({ name, count, node, reasons }): PlanItem => ({
      name,
      count,
      node: node ?? undefined,
      reasons: reasons.map(reasonView),
    })),
  };
}

function reasonView({ filter, excluded, nearestMiss }: Reason): ReasonView {
  return { filter, excluded, nearest_miss: nearestMiss };
}
