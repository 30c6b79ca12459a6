import type { ClusterRow } from '../../model/cluster.ts';
import type { BatchRow, DagRow, GraphRow, GroupRef } from '../../model/group.ts';
import type { NodeRow } from '../../model/node.ts';
import type { Resources, SpecRow, TaskRow } from '../../model/task.ts';
import type { TaskRequest } from './request.ts';

/** What has been applied on this node. Valid until the next await: never keep rows across one for a decision. */
export interface StateView {
  readonly cluster: ClusterRow | null;
  readonly nodes: ReadonlyMap<string, NodeRow>;
  /** Open tasks only; finished ones are read from the store. */
  readonly tasks: ReadonlyMap<string, TaskRow>;
  /** Specs of open tasks. */
  readonly specs: ReadonlyMap<string, SpecRow>;
  /** Sum of what is set aside on the node for tasks ASSIGNED or RUNNING there. */
  allocated(node: string): Resources;
  /** Ids of the tasks ASSIGNED or RUNNING on the node. */
  tasksOn(node: string): ReadonlySet<string>;
  /**
   * PENDING tasks in scheduling order: priority, then submission.
   * @param skip asked again before each task; what has such a request is passed over at once, however much of it there is
   */
  pending(skip?: (request: TaskRequest) => boolean): Iterable<TaskRow>;
  readonly pendingCount: number;
  /** FAILED tasks whose next try is due at or before the time. */
  retriesDue(atMs: number): Iterable<TaskRow>;
  /** When the next retry is due; null where there is none. */
  nextRetryAtMs(): number | null;
  /** Those that are not over; finished ones are read from the store. */
  readonly batches: ReadonlyMap<string, BatchRow>;
  readonly dags: ReadonlyMap<string, DagRow>;
  /** Of DAGs that are not over. */
  readonly graphs: ReadonlyMap<string, GraphRow>;
  /** Whether its batch or DAG keeps the task from running for now, though it is PENDING. */
  isHeld(task: TaskRow): boolean;
  /** How many more tasks of that gate may be assigned; null: no bound. */
  roomIn(gate: string): number | null;
  /** One that has something left for its leader to do, or null. */
  nextWorkingGroup(): GroupRef | null;
}
