/** What keeps a task off every node for the time being, whatever is free: then it is no head of the queue either. */
import { formatTime } from '../../../lib/times.ts';
import { concurrencyOf, waitsUntilOf } from '../../../model/earlier-rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import type { StateView } from '../state-view.ts';

export interface Waiting {
  readonly filter: 'not_before' | 'concurrency';
  readonly reason: string;
}

/** Tasks of a concurrency key that are about to be placed and that the state does not count yet. */
export interface KeysTaken {
  holding(key: string): number;
}

/** @returns null where it waits for nothing but room */
export function whyWaiting(
  task: Pick<TaskRow, 'concurrency' | 'waitsUntilMs'>,
  state: Pick<StateView, 'keyUse'>,
  taken: KeysTaken,
): Waiting | null {
  const dueMs = waitsUntilOf(task);
  if (dueMs !== null) return { filter: 'not_before', reason: `not before ${formatTime(dueMs)}` };
  const concurrency = concurrencyOf(task);
  if (concurrency === null) return null;
  const { key, max } = concurrency;
  const holding = (state.keyUse(key)?.holding ?? 0) + taken.holding(key);
  if (holding < max) return null;
  return { filter: 'concurrency', reason: `waits for concurrency key ${key} (${holding} of ${max})` };
}
