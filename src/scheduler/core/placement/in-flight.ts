import type { TaskRow } from '../../../model/task.ts';

/** An assignment that has been proposed and is not applied yet, or is about to be. */
export interface PlannedAssignment {
  readonly taskId: string;
  readonly node: string;
  readonly session: number;
  readonly task: TaskRow;
}

/** Assignments that count as if they were applied. */
export interface InFlight {
  has(taskId: string): boolean;
  on(node: string): Iterable<PlannedAssignment>;
  values(): Iterable<PlannedAssignment>;
}

/** @param planned by task id */
export function inFlightOf(planned: ReadonlyMap<string, PlannedAssignment>): InFlight {
  return {
    has: (taskId) => planned.has(taskId),
    on: (node) => [...planned.values()].filter((one) => one.node === node),
    values: () => planned.values(),
  };
}
