/** Why a task fits nowhere: per filter, how many nodes it ruled out, and which of them came nearest. */
import type { TaskRow } from '../../../model/task.ts';
import type { Candidate } from './filters.ts';
import { FILTERS, rejectionOf } from './filters.ts';
import type { Misfit } from './fit.ts';

/** Nodes that one filter ruled out. */
export interface Reason {
  readonly filter: string;
  /** Nodes that it ruled out and that no filter before it did. */
  readonly excluded: number;
  readonly nearestMiss: string;
}

/** In the order of the filters; empty where the task fits some node, or there are none. */
export function explain(task: TaskRow, candidates: Iterable<Candidate>): readonly Reason[] {
  const found = new Map<string, { excluded: number; nearest: Misfit }>();
  for (const candidate of candidates) {
    const rejection = rejectionOf(task, candidate);
    if (rejection === null) return [];
    const { filter, misfit } = rejection;
    const known = found.get(filter.name);
    if (known === undefined) found.set(filter.name, { excluded: 1, nearest: misfit });
    else {
      known.excluded += 1;
      if (isNearer(misfit, known.nearest)) known.nearest = misfit;
    }
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
