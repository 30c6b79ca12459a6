import type { EntryPart, ExpireCommand, Outcome } from '../../../model/commands.ts';
import { entryKey, type EntryRow } from '../../../model/events.ts';
import { isTerminal } from '../../../model/phases.ts';
import type { OrderedTableName, RowKey } from '../../../model/rows.ts';
import type { GroupRef } from '../../../model/group.ts';
import { groupRow } from '../groups/rows.ts';
import { expiryRule, isExpired, retainedOf } from '../expiry.ts';
import type { Transaction } from '../transaction.ts';
import { expireJoinTokens } from './join-tokens.ts';
import { done } from './outcomes.ts';

export interface ExpireResult {
  readonly events: number;
  readonly tasks: number;
  readonly idempotencyKeys: number;
  readonly joinTokens: number;
}

/**
 * Oldest first, up to the first that is to be kept. What is over has come to its end long ago: that it goes is no change
 * of its state, and makes no event.
 */
export function expire(transaction: Transaction, command: ExpireCommand): Outcome<ExpireResult> {
  const events = new Expiry(transaction, 'event').run(command.events, null);
  const tasks = new Expiry(transaction, 'finished').run(command.finished, (id, atMs) =>
    deleteFinished(transaction, id, atMs),
  );
  const idempotencyKeys = new Expiry(transaction, 'usedKeys').run(command.usedKeys, (key) => {
    if (transaction.get('idempotency', key) === null) return false;
    transaction.delete('idempotency', key);
    return true;
  });
  const joinTokens = expireJoinTokens(transaction, command.joinTokens ?? []);
  return done({ events, tasks, idempotencyKeys, joinTokens });
}

/** Rows that it will want: those of the entries, and what stands in them. */
export function rowsOfExpiry({
  events,
  finished,
  usedKeys,
  dagNames = [],
}: ExpireCommand): readonly RowKey[] {
  return [
    ...dagNames.map((key): RowKey => ({ table: 'dagName', key })),
    ...events.map((row) => rowOf('event', row)),
    ...finished.flatMap((row) => [rowOf('finished', row), ...row.ids.flatMap(rowsOfFinished)]),
    ...usedKeys.flatMap((row) => [
      rowOf('usedKeys', row),
      ...row.ids.map((key): RowKey => ({ table: 'idempotency', key })),
    ]),
  ];
}

function rowOf(table: OrderedTableName, { index, part }: EntryPart): RowKey {
  return { table, key: entryKey(index, part) };
}

/** By the kind with which its id begins. */
function rowsOfFinished(id: string): readonly RowKey[] {
  if (id.startsWith('batch-'))
    return [
      { table: 'batch', key: id },
      { table: 'spec', key: id },
    ];
  if (id.startsWith('dag-'))
    return [
      { table: 'dag', key: id },
      { table: 'graph', key: id },
    ];
  return [
    { table: 'task', key: id },
    { table: 'spec', key: id },
  ];
}

/** @param atMs of the entry that has ended it @returns whether it is deleted */
function deleteFinished(transaction: Transaction, id: string, atMs: number): boolean {
  if (id.startsWith('batch-')) return deleteGroup(transaction, { table: 'batch', id }, atMs);
  if (id.startsWith('dag-')) return deleteGroup(transaction, { table: 'dag', id }, atMs);
  const task = transaction.task(id);
  // Begun anew by a person, or ended anew by a later entry, whose turn has not come.
  if (task === null || !isTerminal(task.status) || (task.finishedAtMs ?? 0) > atMs) return false;
  transaction.delete('task', id);
  // A spec that several tasks share has an id of its own, and goes with whoever owns it.
  if (task.specId === id && transaction.get('spec', id) !== null) transaction.delete('spec', id);
  return true;
}

/** Its tasks have ended before it, or with it, and are gone by now. */
function deleteGroup(transaction: Transaction, ref: GroupRef, atMs: number): boolean {
  const group = groupRow(transaction, ref);
  if (group === null || group.finishedAtMs === null || group.finishedAtMs > atMs) return false;
  transaction.delete(ref.table, ref.id);
  if (ref.table === 'batch') {
    if (transaction.get('spec', ref.id) !== null) transaction.delete('spec', ref.id);
    return true;
  }
  if (transaction.get('graph', ref.id) !== null) transaction.delete('graph', ref.id);
  // Where a later run has the name, it keeps it.
  if (transaction.get('dagName', group.name)?.dagId === ref.id) transaction.delete('dagName', group.name);
  return true;
}

class Expiry {
  readonly #transaction: Transaction;
  readonly #table: OrderedTableName;
  #count: number;
  #from: number;

  constructor(transaction: Transaction, table: OrderedTableName) {
    this.#transaction = transaction;
    this.#table = table;
    const retained = retainedOf(transaction.cluster, transaction.entry.index);
    const { from, count } = this.#rule;
    this.#count = retained[count];
    this.#from = retained[from];
  }

  get #rule() {
    return expiryRule(this.#transaction.cluster, this.#table);
  }

  /**
   * @param remove of what stands in a row, by whoever it stands for; null: the rows themselves are what goes
   * @returns how many are gone
   */
  run(parts: readonly EntryPart[], remove: ((item: string, atMs: number) => boolean) | null): number {
    const before = this.#count;
    for (const { index, part } of parts) {
      // Rows of the entry before the beginning may be left: readers have been told that it is gone.
      if (index < this.#from - 1) continue;
      const key = entryKey(index, part);
      const row = this.#transaction.get(this.#table, key);
      if (row === null) continue;
      if (!this.#isExpired(row)) break;
      this.#from = Math.max(this.#from, index + 1);
      if (remove === null) {
        this.#count -= row.items.length;
        this.#transaction.delete(this.#table, key);
      } else if (!this.#empty(row as EntryRow<string>, key, remove)) break;
    }
    this.#keepFrom();
    return before - this.#count;
  }

  #isExpired({ atMs }: EntryRow<unknown>): boolean {
    return isExpired(this.#rule, { atMs, count: this.#count, nowMs: this.#transaction.nowMs });
  }

  /** @returns whether nothing of it is kept */
  #empty(row: EntryRow<string>, key: string, remove: (item: string, atMs: number) => boolean): boolean {
    for (const [at, item] of row.items.entries()) {
      if (this.#isExpired(row)) {
        if (remove(item, row.atMs)) this.#count -= 1;
        continue;
      }
      this.#transaction.put(this.#table as 'finished', key, { ...row, items: row.items.slice(at) });
      return false;
    }
    this.#transaction.delete(this.#table, key);
    return true;
  }

  #keepFrom(): void {
    const { cluster, entry } = this.#transaction;
    const retained = retainedOf(cluster, entry.index);
    const { from } = this.#rule;
    if (retained[from] !== this.#from)
      this.#transaction.putCluster({ retained: { ...retained, [from]: this.#from } });
  }
}
