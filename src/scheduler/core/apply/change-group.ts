/** What becomes of batches and DAGs as a whole: ended, begun anew, or gone on with. */
import type {
  AdvanceGroupCommand,
  CancelGroupCommand,
  Outcome,
  RetryGroupCommand,
} from '../../../model/commands.ts';
import { stoppedBeforeOf } from '../../../model/earlier-rows.ts';
import type { GroupRef } from '../../../model/group.ts';
import { makeSlice } from '../groups/make.ts';
import { groupRow, isDag, putGroup } from '../groups/rows.ts';
import { stopGroup } from '../groups/settle.ts';
import { retrySlice, sweepSlice } from '../groups/sweeps.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { otherMaximum, queueIsFull } from './submit-tasks.ts';
import { done, refuse } from './outcomes.ts';
import type { Refused } from './outcomes.ts';

export interface ChangeGroupResult {
  readonly id: string;
}

export interface AdvanceGroupResult {
  /** Whether the group stood where the leader thought. */
  readonly advanced: boolean;
}

/** CANCELLED once the last of its tasks is over; until then it says that it is stopping. */
export function cancelGroup(transaction: Transaction, command: CancelGroupCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const ref = refOf(command);
    const group = groupRow(transaction, ref);
    if (group === null) return unknown(ref);
    if (group.stopping === null && group.finishedAtMs !== null && group.status !== 'CANCELLED')
      return refuse('conflict', `${group.id} is ${group.status} already`);
    if (group.finishedAtMs === null && group.stopping === null) stopGroup(transaction, ref, group, 'cancel');
    return done<ChangeGroupResult>({ id: group.id });
  });
}

export function retryGroup(transaction: Transaction, command: RetryGroupCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const ref = refOf(command);
    const group = groupRow(transaction, ref);
    if (group === null) return unknown(ref);
    if (group.status === 'COMPLETED') return refuse('conflict', `all tasks of ${group.id} have completed`);
    if (group.finishedAtMs === null)
      return refuse('conflict', `${group.id} is ${group.status}: only what is over can be begun anew`);
    // Those that are not open count as waiting with the slice that begins them anew; the bound is for all of them.
    const full = queueIsFull(transaction, group.size - group.counts.COMPLETED);
    if (full !== null) return full;
    const first = command.taskIds.flatMap((id) => transaction.task(id) ?? []);
    const otherMax = otherMaximum(
      transaction,
      first.filter(({ status }) => status !== 'COMPLETED'),
    );
    if (otherMax !== null) return otherMax;
    putGroup(transaction, ref, {
      ...group,
      statusReason: null,
      stopping: null,
      ...(stoppedBeforeOf(group) === null ? {} : { stoppedBefore: null }),
      sweep: { type: 'retry', next: 0 },
      finishedAtMs: null,
    });
    // Memory gave it up when the DAG was over.
    const graph = isDag(group) ? transaction.get('graph', group.id) : null;
    if (graph !== null) transaction.put('graph', graph.id, { ...graph });
    retrySlice(transaction, ref, command.taskIds);
    return done<ChangeGroupResult>({ id: group.id });
  });
}

/** Decided by a leader that saw the group at `at`: where it stands elsewhere by now, nothing happens. */
export function advanceGroup(
  transaction: Transaction,
  command: AdvanceGroupCommand,
): Outcome<AdvanceGroupResult> {
  const ref = refOf(command);
  const group = groupRow(transaction, ref);
  if (group === null || group.finishedAtMs !== null || (group.sweep?.next ?? group.made) !== command.at)
    return done({ advanced: false });
  if (group.sweep !== null) sweepSlice(transaction, ref, command.taskIds);
  else makeSlice(transaction, ref);
  // Dependents that are due are looked at where every command ends: groups/settle.ts.
  return done({ advanced: true });
}

function refOf({ table, id }: GroupRef): GroupRef {
  return { table, id };
}

function unknown({ table, id }: GroupRef): Refused {
  return refuse('not_found', `there is no ${table} ${id}`);
}
