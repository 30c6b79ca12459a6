import { concurrencyOf } from '../../../model/earlier-rows.ts';
import type { GroupRow } from '../../../model/group.ts';
import { hasWork, isHeld } from '../../../model/group.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { RowChange } from '../../../model/rows.ts';
import type { TaskRow } from '../../../model/task.ts';
import { nodeHolding } from '../node-loads.ts';
import { closedTo } from './fit.ts';
import { headsOf } from './heads.ts';

/** Leases are over, or nodes that were kept for a head of the queue are free for all again. */
function wakesAsCluster({ before, after }: Extract<RowChange, { table: 'cluster' }>): boolean {
  if (before?.awaitsLeases === true && after?.awaitsLeases !== true) return true;
  if (before?.heads === after?.heads) return false;
  const kept = new Set(headsOf(after).flatMap(({ nodes }) => nodes));
  return headsOf(before).some(({ nodes }) => nodes.some((node) => !kept.has(node)));
}

/** Whether a change can make a placement possible or a retry due: new work, freed capacity, a node that takes work. */
export function wakes(change: RowChange): boolean {
  if (change.table === 'node') {
    return change.after !== null && closedTo(change.after) === null;
  }
  if (change.table === 'cluster') return wakesAsCluster(change);
  if (change.table === 'batch' || change.table === 'dag') return wakesGroup(change.before, change.after);
  if (change.table !== 'task') return false;
  const { before, after } = change;
  if (after?.status === 'PENDING') return true;
  if (after?.status === 'FAILED' && before?.retryAtMs !== after.retryAtMs) return true;
  if (before === null) return false;
  return (
    (nodeHolding(before) !== null && (after === null || nodeHolding(after) === null)) ||
    unbinds(before, after)
  );
}

/** The least maximum of its concurrency key may have been its own, wherever it was. */
function unbinds(before: TaskRow, after: TaskRow | null): boolean {
  if (concurrencyOf(before) === null || isTerminal(before.status)) return false;
  return after === null || isTerminal(after.status);
}

/** Something is left to do of it, or its tasks may begin from now on. */
function wakesGroup(before: GroupRow | null, after: GroupRow | null): boolean {
  if (after === null || after.finishedAtMs !== null) return false;
  return hasWork(after) || (before !== null && isHeld(before) && !isHeld(after));
}
