/** Groups as commands change them, whichever of the two kinds they are. */
import { invariant } from '../../../lib/assert.ts';
import { encodeId, idKey } from '../../../lib/ids.ts';
import type { IdKey } from '../../../lib/ids.ts';
import type { BatchRow, DagRow, GraphRow, GroupRef, GroupRow } from '../../../model/group.ts';
import type { Transaction } from '../transaction.ts';

export type Group = BatchRow | DagRow;

export function isDag(group: Group): group is DagRow {
  return 'due' in group;
}

/** Null also where it is over and the command has not named it. */
export function groupRow(transaction: Transaction, { table, id }: GroupRef): Group | null {
  return transaction.get(table, id);
}

export function putGroup<G extends Group>(transaction: Transaction, ref: GroupRef, group: G): G {
  transaction.put(ref.table, ref.id, group);
  return group;
}

export function graphOf(transaction: Transaction, id: string): GraphRow {
  const graph = transaction.get('graph', id);
  invariant(graph !== null, `the graph of ${id} is there`);
  return graph;
}

/** Ids of a group's tasks, by position. */
export function memberIds(
  group: Pick<GroupRow, 'clusterId' | 'epoch' | 'createdIndex'>,
  key: IdKey = idKey(group.clusterId),
): (position: number) => string {
  const { epoch, createdIndex: index } = group;
  return (position) => encodeId('task', { epoch, index, position }, key);
}

/** Of the slice of tasks that begins there: what a `retry` has to name. */
export function idsFrom(
  group: Pick<GroupRow, 'clusterId' | 'epoch' | 'createdIndex' | 'size' | 'sliceTasks'>,
  from: number,
): readonly string[] {
  const idOf = memberIds(group);
  const count = Math.max(0, Math.min(group.sliceTasks, group.size - from));
  return Array.from({ length: count }, (_, at) => idOf(from + at));
}

const BITS = 30;

export function isCompleted({ completed }: Pick<DagRow, 'completed'>, position: number): boolean {
  return (((completed[Math.floor(position / BITS)] ?? 0) >>> (position % BITS)) & 1) === 1;
}

export function withCompleted(completed: readonly number[], position: number): readonly number[] {
  const at = Math.floor(position / BITS);
  const words = completed.slice();
  words[at] = (words[at] ?? 0) | (1 << (position % BITS));
  return words;
}

export function withoutCompleted(completed: readonly number[], position: number): readonly number[] {
  const at = Math.floor(position / BITS);
  const words = completed.slice();
  words[at] = (words[at] ?? 0) & ~(1 << (position % BITS));
  return words;
}

export function noneCompleted(size: number): readonly number[] {
  return Array.from({ length: Math.ceil(size / BITS) }, () => 0);
}
