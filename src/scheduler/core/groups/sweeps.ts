/** Walks over the tasks of a group, a slice per command: what a person or a bound has asked for all of them. */
import type { GroupRef, Sweep } from '../../../model/group.ts';
import { groupOf } from '../../../model/group.ts';
import { mayBeginAnew } from '../../../model/phases.ts';
import { beginAnew } from '../begin-anew.ts';
import type { Transaction } from '../transaction.ts';
import { evaluate } from './dependents.ts';
import { endEarly } from './end-early.ts';
import type { Group } from './rows.ts';
import { graphOf, groupRow, isDag, putGroup } from './rows.ts';

/** Goes on with the sweep of the group, whichever it is. @param taskIds of a `retry`: as its command has them */
export function sweepSlice(transaction: Transaction, ref: GroupRef, taskIds: readonly string[]): void {
  const type = groupRow(transaction, ref)?.sweep?.type;
  if (type === 'cancel') cancelSlice(transaction, ref);
  else if (type === 'retry') retrySlice(transaction, ref, taskIds);
  else if (type === 'evaluate') evaluateSlice(transaction, ref);
}

/** Rows that are made after it has begun are ended as they are made. */
export function cancelSlice(transaction: Transaction, ref: GroupRef): void {
  walk(transaction, ref, null, (group, position) => {
    const task = transaction.member(group.id, position);
    if (task !== null) endEarly(transaction, task, group.stopping);
  });
}

/**
 * Their rows were loaded for the command: they are over, and none is in memory. Those of a DAG that depend on others
 * wait, until all of them are begun anew.
 */
export function retrySlice(transaction: Transaction, ref: GroupRef, taskIds: readonly string[]): void {
  const first = groupRow(transaction, ref)?.sweep?.next ?? 0;
  walk(transaction, ref, taskIds.length, (group, position) => {
    const task = transaction.task(taskIds[position - first] ?? '');
    // Another's: nothing is done to it in this one's stead.
    if (task?.createdPosition !== position || groupOf(task)?.id !== group.id) return;
    if (!mayBeginAnew(task.status, 'PENDING')) return;
    const dependencies = isDag(group) ? graphOf(transaction, group.id).dependencies[position] : undefined;
    beginAnew(transaction, task, (dependencies?.length ?? 0) > 0);
  });
  const group = groupRow(transaction, ref);
  if (group === null || group.sweep !== null) return;
  if (isDag(group)) {
    putGroup(transaction, ref, { ...group, sweep: { type: 'evaluate', next: 0 } });
    evaluateSlice(transaction, ref);
  } else if (first > 0) {
    // Tasks of earlier slices may have failed again: whether too many have is for the next command to say, so that none
    // is begun anew and ended by one and the same.
    putGroup(transaction, ref, { ...group, sweep: { type: 'evaluate', next: group.made } });
  }
}

function evaluateSlice(transaction: Transaction, ref: GroupRef): void {
  const graph = ref.table === 'dag' ? graphOf(transaction, ref.id) : null;
  walk(transaction, ref, null, (group, position) => {
    if (graph !== null && isDag(group)) evaluate(transaction, group, graph, position);
  });
}

/** @param most null: as many as a command should */
function walk(
  transaction: Transaction,
  ref: GroupRef,
  most: number | null,
  visit: (group: Group, position: number) => void,
): void {
  const group = groupRow(transaction, ref);
  if (group === null || group.sweep === null) return;
  const { type, next } = group.sweep;
  const end = Math.min(group.made, next + (most ?? group.sliceTasks));
  for (let position = next; position < end; position += 1) visit(group, position);
  const sweep: Sweep | null = end >= group.made ? null : { type, next: end };
  putGroup(transaction, ref, { ...group, sweep });
}
