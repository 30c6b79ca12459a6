/** Why a task waits: per filter, how many nodes it rules out, and which of them came nearest. All reasons, not the first. */
import type { TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';
import { meets } from '../task-groups.ts';
import type { Candidate, Filtered } from './filters.ts';
import { FILTERS } from './filters.ts';
import type { Misfit } from './fit.ts';
import { headsOf } from './heads.ts';
import type { InFlight } from './in-flight.ts';
import { inFlightOf } from './in-flight.ts';
import type { Taken } from './waiting.ts';
import { whyWaiting } from './waiting.ts';

/** Nodes that one filter rules out. */
export interface Reason {
  readonly filter: string;
  /** A node that several filters rule out is counted by each of them. */
  readonly excluded: number;
  readonly nearestMiss: string;
}

type NodesView = Pick<
  StateView,
  'cluster' | 'nodes' | 'tasks' | 'allocated' | 'tasksOn' | 'groupsOn' | 'keyUse' | 'isHeld' | 'roomIn'
>;

export const NOTHING_IN_FLIGHT = inFlightOf(new Map());

/** What a PENDING task waits for: empty where a node could take it now, and only its turn has not come. */
export function reasonsFor(
  state: NodesView,
  task: TaskRow,
  inFlight: InFlight = NOTHING_IN_FLIGHT,
): readonly Reason[] {
  const reasons = explain(task, candidatesOf(state, inFlight));
  const waits = whyWaiting(task, state, takenBy(inFlight));
  if (waits === null) return reasons;
  // It rules out every node, whatever else there is against it.
  const { filter, reason } = waits;
  return [{ filter, excluded: state.nodes.size, nearestMiss: reason }, ...reasons];
}

function takenBy(inFlight: InFlight): Taken {
  const countOf = (counts: (task: TaskRow) => boolean): number => {
    let count = 0;
    for (const planned of inFlight.values()) if (counts(planned.task)) count += 1;
    return count;
  };
  return {
    holding: (key) => countOf(({ concurrency }) => concurrency?.key === key),
    holdingOf: (gate) => countOf((task) => task.gate === gate),
  };
}

/** All nodes, with what is on them by the state and by plans that are not applied. */
export function candidatesOf(state: NodesView, inFlight = NOTHING_IN_FLIGHT): readonly Candidate[] {
  const waiting = { heads: headsOf(state.cluster), tasks: state.tasks };
  return [...state.nodes.values()].map((node) => {
    const { cpuMillis, memoryBytes } = state.allocated(node.name);
    const planned = [...inFlight.on(node.name)].map(({ task }) => task);
    const use: Candidate['use'] = {
      allocated: {
        cpuMillis: planned.reduce((sum, { resources }) => sum + resources.cpuMillis, cpuMillis),
        memoryBytes: planned.reduce((sum, { resources }) => sum + resources.memoryBytes, memoryBytes),
      },
      taskCount: state.tasksOn(node.name).size + planned.length,
      meeting: (rules, groupId) =>
        state.groupsOn(node.name).meeting(rules, groupId) ??
        rules.find((rule) => planned.some((task) => meets(task, rule, groupId))) ??
        null,
    };
    return { node, use, waiting };
  });
}

const NO_NODES: Reason = { filter: 'health', excluded: 0, nearestMiss: 'no node is registered yet' };

/** In the order of the filters; empty where the task fits some node. */
export function explain(task: Filtered, candidates: Iterable<Candidate>): readonly Reason[] {
  const found = new Map<string, { excluded: number; nearest: Misfit }>();
  let isEmpty = true;
  for (const candidate of candidates) {
    isEmpty = false;
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
  if (isEmpty) return [NO_NODES];
  return FILTERS.flatMap(({ name }) => {
    const reason = found.get(name);
    if (reason === undefined) return [];
    return [{ filter: name, excluded: reason.excluded, nearestMiss: reason.nearest.reason }];
  });
}

function isNearer(a: Misfit, b: Misfit): boolean {
  return a.distance < b.distance || (a.distance === b.distance && a.reason < b.reason);
}
