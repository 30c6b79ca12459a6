/** Why a task fits nowhere: per filter, how many nodes it ruled out, and which of them came nearest. */
import type { StateView } from '../state-view.ts';
import type { Candidate } from './filters.ts';
import { FILTERS } from './filters.ts';
import type { Fitting, Misfit } from './fit.ts';

/** Nodes that one filter rules out. */
export interface Reason {
  readonly filter: string;
  /** A node that several filters rule out is counted by each of them. */
  readonly excluded: number;
  readonly nearestMiss: string;
}

/** All nodes, with what is on them by the state alone. */
export function candidatesOf(state: StateView): readonly Candidate[] {
  return [...state.nodes.values()].map((node) => ({
    node,
    use: {
      allocated: state.allocated(node.name),
      taskCount: state.tasksOn(node.name).size,
      meeting: (rules, batchId) => state.groupsOn(node.name).meeting(rules, batchId),
    },
  }));
}

/** In the order of the filters; empty where the task fits some node, or there are none. */
export function explain(task: Fitting, candidates: Iterable<Candidate>): readonly Reason[] {
  const found = new Map<string, { excluded: number; nearest: Misfit }>();
  for (const candidate of candidates) {
    let fits = true;
    for (const filter of FILTERS) {
      const misfit = filter.check(task, candidate);
      if (misfit === null) continue;
      fits = false;
      const known = found.get(filter.name);
      if (known === undefined) found.set(filter.name, { excluded: 1, nearest: misfit });
      else {
        known.excluded += 1;
        if (isNearer(misfit, known.nearest)) known.nearest = misfit;
      }
    }
    if (fits) return [];
  }
  return FILTERS.flatMap(({ name }) => {
    const reason = found.get(name);
    if (reason === undefined) return [];
    return [{ filter: name, excluded: reason.excluded, nearestMiss: reason.nearest.reason }];
  });
}

function isNearer(a: Misfit, b: Misfit): boolean {
  return a.distance < b.distance || (a.distance === b.distance && a.reason < b.reason);
}
