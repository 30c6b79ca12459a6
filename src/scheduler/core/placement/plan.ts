/** One plan from the state alone, and what plans become in the log. */
import type { AssignCommand } from '../../../model/commands.ts';
import type { StateView } from '../state-view.ts';
import type { PlannedAssignment } from './in-flight.ts';
import { inFlightOf } from './in-flight.ts';
import type { MeasuredLoad, Plan } from './planner.ts';
import { Planner } from './planner.ts';

/** @param inFlight by task id; counted as if applied @param limit assignments at the most */
export function plan(
  state: StateView,
  inFlight: ReadonlyMap<string, PlannedAssignment>,
  limit: number,
  loadOf: MeasuredLoad | null = null,
): Plan {
  const planner = new Planner(state, inFlightOf(inFlight));
  if (loadOf !== null) planner.measure(loadOf);
  return planner.plan(limit);
}

export function toAssignments(planned: readonly PlannedAssignment[]): AssignCommand['assignments'] {
  return planned.map(({ taskId, node, session }) => ({ taskId, node, session }));
}
