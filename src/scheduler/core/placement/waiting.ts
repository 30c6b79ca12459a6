/** What keeps a task off every node for the time being, whatever is free: then it is no head of the queue either. */
import { formatTime } from '../../../lib/times.ts';
import { concurrencyOf, waitsUntilOf } from '../../../model/earlier-rows.ts';
import { groupOf } from '../../../model/group.ts';
import type { Concurrency } from '../../../model/placement.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';

export interface Waiting {
  readonly filter: 'not_before' | 'group' | 'concurrency' | 'max_parallel';
  readonly reason: string;
}

/** Tasks that are about to be placed and that the state does not count yet. */
export interface Taken {
  /** Of a concurrency key. */
  holding(key: string): number;
  /** Of a batch or DAG that bounds how many of its tasks run. */
  holdingOf(gate: string): number;
}

const NOTHING_TAKEN: Taken = { holding: () => 0, holdingOf: () => 0 };

/** @returns null where it waits for nothing but room */
export function whyWaiting(
  task: Pick<TaskRow, 'concurrency' | 'waitsUntilMs' | 'batchId' | 'dagId' | 'gate'>,
  state: Pick<StateView, 'keyUse' | 'isHeld' | 'roomIn'>,
  taken: Taken = NOTHING_TAKEN,
): Waiting | null {
  const dueMs = waitsUntilOf(task);
  if (dueMs !== null) return { filter: 'not_before', reason: `not before ${formatTime(dueMs)}` };
  if (state.isHeld(task))
    return { filter: 'group', reason: `${groupOf(task)?.id} lets none of its tasks begin for now` };
  return keyIsFull(task, state, taken) ?? gateIsFull(task, state, taken);
}

/** How many tasks of the key may run: the least of what its open tasks say, and of what this one says. */
export function maximumOf({ key, max }: Concurrency, state: Pick<StateView, 'keyUse'>): number {
  return Math.min(max, state.keyUse(key)?.max ?? max);
}

function keyIsFull(
  task: Pick<TaskRow, 'concurrency'>,
  state: Pick<StateView, 'keyUse'>,
  taken: Taken,
): Waiting | null {
  const concurrency = concurrencyOf(task);
  if (concurrency === null) return null;
  const { key } = concurrency;
  const max = maximumOf(concurrency, state);
  const holding = (state.keyUse(key)?.holding ?? 0) + taken.holding(key);
  if (holding < max) return null;
  return { filter: 'concurrency', reason: `waits for concurrency key ${key} (${holding} of ${max})` };
}

function gateIsFull(
  { gate = '' }: Pick<TaskRow, 'gate'>,
  state: Pick<StateView, 'roomIn'>,
  taken: Taken,
): Waiting | null {
  const room = gate === '' ? null : state.roomIn(gate);
  if (room === null || room > taken.holdingOf(gate)) return null;
  return { filter: 'max_parallel', reason: `${gate} runs as many of its tasks as it may (max_parallel)` };
}
