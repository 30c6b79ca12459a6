import type { GroupRow } from '../../../model/group.ts';
import { hasWork, isHeld } from '../../../model/group.ts';
import type { RowChange } from '../../../model/rows.ts';
import { nodeHolding } from '../state.ts';
import { closedTo } from './fit.ts';

/** Whether a change can make a placement possible or a retry due: new work, freed capacity, a node that takes work. */
export function wakes(change: RowChange): boolean {
  if (change.table === 'node') {
    return change.after !== null && closedTo(change.after) === null;
  }
  if (change.table === 'cluster')
    return change.before?.awaitsLeases === true && change.after?.awaitsLeases !== true;
  if (change.table === 'batch' || change.table === 'dag') return wakesGroup(change.before, change.after);
  if (change.table !== 'task') return false;
  const { before, after } = change;
  if (after?.status === 'PENDING') return true;
  if (after?.status === 'FAILED' && before?.retryAtMs !== after.retryAtMs) return true;
  return before !== null && nodeHolding(before) !== null && (after === null || nodeHolding(after) === null);
}

/** Something is left to do of it, or its tasks may begin from now on. */
function wakesGroup(before: GroupRow | null, after: GroupRow | null): boolean {
  if (after === null || after.finishedAtMs !== null) return false;
  return hasWork(after) || (before !== null && isHeld(before) && !isHeld(after));
}
