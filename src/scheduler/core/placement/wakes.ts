import type { RowChange } from '../../../model/rows.ts';
import { nodeHolding } from '../node-loads.ts';
import { closedTo } from './fit.ts';

/** Whether a change can make a placement possible or a retry due: new work, freed capacity, a node that takes work. */
export function wakes(change: RowChange): boolean {
  if (change.table === 'node') {
    return change.after !== null && closedTo(change.after) === null;
  }
  if (change.table === 'cluster')
    return change.before?.awaitsLeases === true && change.after?.awaitsLeases !== true;
  if (change.table !== 'task') return false;
  const { before, after } = change;
  if (after?.status === 'PENDING') return true;
  if (after?.status === 'FAILED' && before?.retryAtMs !== after.retryAtMs) return true;
  return before !== null && nodeHolding(before) !== null && (after === null || nodeHolding(after) === null);
}
