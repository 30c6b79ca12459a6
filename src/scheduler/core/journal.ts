/**
 * What an entry has come to, derived in one place from the rows that it changed: its events, what it has ended and which
 * idempotency keys it has used (both for retention), and the counts of what is kept. One row of each kind per entry.
 */
import type { AlertEvent } from '../../model/alerts.ts';
import type { Retained } from '../../model/cluster.ts';
import { pressureOf, quorumRiskOf } from '../../model/earlier-rows.ts';
import type { Alert, EntryRow, StoredEvent } from '../../model/events.ts';
import { entryKey, ITEMS_PER_ROW } from '../../model/events.ts';
import type { GroupRow } from '../../model/group.ts';
import type { NodeRow } from '../../model/node.ts';
import { formatTime } from '../../lib/times.ts';
import { isTerminal } from '../../model/phases.ts';
import type { RowChange } from '../../model/rows.ts';
import type { TaskRow } from '../../model/task.ts';
import { retainedOf } from './expiry.ts';
import type { RaisedAlert, Transaction } from './transaction.ts';

type Change<T extends RowChange['table']> = Extract<RowChange, { table: T }>;

type Statuses = readonly [old: string | null, now: string | null, reason: string | null];

class Journal {
  readonly events: StoredEvent[] = [];
  readonly alerts: RaisedAlert[] = [];
  readonly finished: string[] = [];
  /** After the tasks of the same entry, which go before what they belong to. */
  readonly finishedGroups: string[] = [];
  readonly usedKeys: string[] = [];
  /** What is kept of them grows by so many, or shrinks. */
  eventsGone = 0;
  finishedDifference = 0;
  usedKeysDifference = 0;

  note(change: RowChange): void {
    switch (change.table) {
      case 'task':
        this.#task(change);
        break;
      case 'batch':
      case 'dag':
        this.#group(change);
        break;
      case 'node':
        this.#node(change);
        break;
      case 'idempotency':
        if (change.before === null) this.usedKeys.push(change.key);
        this.usedKeysDifference += Number(change.before === null) - Number(change.after === null);
        break;
      case 'event':
        this.eventsGone += change.after === null ? (change.before?.items.length ?? 0) : 0;
        break;
      case 'cluster':
        this.#cluster(change);
        break;
      case 'alert':
        this.#message(change);
        break;
      case 'instance':
        this.#instance(change);
        break;
      case 'scaling':
      case 'scalingDecision':
      case 'alertChannel':
      case 'logHolder':
      case 'token':
      case 'joinToken':
      case 'formerMember':
      case 'copylessNode':
      case 'spec':
      case 'graph':
      case 'blueprint':
      case 'dagName':
      case 'finished':
      case 'usedKeys':
        break;
    }
  }

  #task({ key, before, after }: Change<'task'>): void {
    const wasOver = before !== null && isTerminal(before.status);
    const isOver = after !== null && isTerminal(after.status);
    this.finishedDifference += Number(isOver) - Number(wasOver);
    // Also where it was begun anew and has come to another end at once.
    if (isOver && before?.finishedAtMs !== after.finishedAtMs) this.finished.push(key);
    // One that has expired came to its end long ago: its row goes, its state does not change.
    if (after === null || !isNews(before, after)) return;
    const statuses = [before?.status ?? null, after.status, after.statusReason] as const;
    this.events.push(['task', key, after.name, ...statuses]);
    if (after.status === 'PERMANENTLY_FAILED')
      this.#raise('task.permanently_failed', key, after.name, statuses);
  }

  #group({ table, key, before, after }: Change<'batch'> | Change<'dag'>): void {
    const wasOver = before !== null && before.finishedAtMs !== null;
    const isOver = after !== null && after.finishedAtMs !== null;
    this.finishedDifference += Number(isOver) - Number(wasOver);
    if (isOver && before?.finishedAtMs !== after.finishedAtMs) this.finishedGroups.push(key);
    if (after === null || !isNewsOfGroup(before, after)) return;
    this.events.push([table, key, after.name, before?.status ?? null, after.status, after.statusReason]);
  }

  #node({ key, before, after }: Change<'node'>): void {
    if (!isNewsOfNode(before, after)) return;
    const statuses = [before?.status ?? null, after?.status ?? null, reasonOf(before, after)] as const;
    this.events.push(['node', key, key, ...statuses]);
    if (before?.status === after?.status) return;
    if (after?.status === 'UNHEALTHY') this.#raise('node.unhealthy', key, key, statuses);
    if (after?.status === 'OFFLINE') this.#raise('node.offline', key, key, statuses);
  }

  #instance({ key, before, after }: Change<'instance'>): void {
    if (before?.phase === after?.phase) return;
    const row = after ?? before;
    const reason = after === null ? 'nothing of it is left' : after.reason;
    this.events.push(['instance', key, row?.node ?? '', before?.phase ?? null, after?.phase ?? null, reason]);
  }

  #cluster({ before, after }: Change<'cluster'>): void {
    const past = before === null ? null : quorumRiskOf(before);
    const risk = after === null ? null : quorumRiskOf(after);
    if (after === null || (past === null) === (risk === null)) return;
    const { clusterId } = after;
    if (risk === null)
      this.#raise('quorum.at_risk', clusterId, 'quorum', [
        'AT_RISK',
        'SAFE',
        'the cluster can lose a voter again',
      ]);
    else this.#raise('quorum.at_risk', clusterId, 'quorum', ['SAFE', 'AT_RISK', risk.reason]);
  }

  /** Its end is told where it has reached nobody. */
  #message({ key, before, after }: Change<'alert'>): void {
    if (before === null || before.status === after?.status) return;
    const { event, count, status, failure } = after ?? before;
    const text = `${event}, ${count === 1 ? 'once' : `${count} times`}`;
    if (status === 'GIVEN_UP' && after !== null)
      this.#alert('alert.given_up', key, [before.status, status, `${text}: ${failure ?? ''}`]);
    if (after === null && before.endedAtMs === null)
      this.#alert('alert.withdrawn', key, [
        before.status,
        null,
        `${text}: its webhook does not ask for it any more`,
      ]);
  }

  raise({ event, id, name, oldStatus, newStatus, reason }: RaisedAlert): void {
    this.#raise(event, id, name, [oldStatus, newStatus, reason]);
  }

  #raise(event: AlertEvent, id: string, name: string, statuses: Statuses): void {
    this.#alert(event, id, statuses);
    const [oldStatus, newStatus, reason] = statuses;
    this.alerts.push({ event, id, name, oldStatus, newStatus, reason });
  }

  #alert(name: Alert, id: string, statuses: Statuses): void {
    this.events.push(['alert', id, name, ...statuses]);
  }
}

/** Another status, or that it is to be stopped. What an attempt says of its start changes too often to be an event. */
function isNews(before: TaskRow | null, after: TaskRow): boolean {
  if (before?.status !== after.status || (after.cancelRequested && !before.cancelRequested)) return true;
  return stopFor(after) !== undefined && stopFor(before) === undefined;
}

function stopFor({ attempts }: TaskRow): 'drain' | undefined {
  return attempts.at(-1)?.stopFor;
}

/** Another status, or that what is left of it is to be stopped. */
function isNewsOfGroup(before: GroupRow | null, after: GroupRow): boolean {
  return before?.status !== after.status || (after.stopping !== null && before.stopping === null);
}

/** Another status, another word on whether it takes work, or that the deadline of its drain has passed. */
function isNewsOfNode(before: NodeRow | null, after: NodeRow | null): boolean {
  return (
    before?.status !== after?.status ||
    before?.schedulable !== after?.schedulable ||
    shortageOf(before) !== shortageOf(after) ||
    (after?.drain?.isOverdue === true && before?.drain?.isOverdue !== true)
  );
}

function reasonOf(before: NodeRow | null, after: NodeRow | null): string | null {
  if (before === null) return 'registered for the first time';
  if (after === null) return 'removed';
  const { drain } = after;
  if (drain?.isOverdue === true && before.drain?.isOverdue !== true)
    return 'the deadline of its drain has passed: what still runs is stopped, and moved';
  if (before.status !== after.status) {
    if (after.status === 'DRAINING')
      return `draining: what still runs at ${formatTime(drain?.deadlineMs ?? 0)} is stopped, and moved`;
    if (after.status === 'DRAINED') return 'drained: nothing is left on it';
    if (before.status === 'DRAINING' || before.status === 'DRAINED') {
      if (after.status === 'AVAILABLE') return 'no longer drained';
    }
    if (after.status === 'UNHEALTHY') return 'silent for longer than heartbeat.warning: no new work';
    if (after.status === 'OFFLINE') return 'silent for longer than heartbeat.timeout: its tasks are given up';
  }
  if (before.schedulable !== after.schedulable) return after.schedulable ? 'schedulable again' : 'cordoned';
  const shortage = shortageOf(after);
  if (shortage === shortageOf(before)) return null;
  return shortage === '' ? 'short of nothing any more' : `short of ${shortage}: no new work`;
}

/** Empty: of nothing. */
function shortageOf(node: NodeRow | null): string {
  return node === null ? '' : pressureOf(node).join(' and ');
}

/** To be called once, when the command has done its work. @returns what needs a person, in order */
export function keepJournal(transaction: Transaction): readonly RaisedAlert[] {
  const journal = new Journal();
  for (const alert of transaction.raised) journal.raise(alert);
  for (const change of transaction.changes()) journal.note(change);
  const { events, usedKeys } = journal;
  const finished = [...journal.finished, ...journal.finishedGroups];
  for (const row of rowsOf(transaction, events)) transaction.put('event', keyOf(row), row);
  for (const row of rowsOf(transaction, finished)) transaction.put('finished', keyOf(row), row);
  for (const row of rowsOf(transaction, usedKeys)) transaction.put('usedKeys', keyOf(row), row);
  const before = retainedOf(transaction.cluster, transaction.entry.index);
  const after: Retained = {
    ...before,
    eventCount: atLeastNone(before.eventCount + events.length - journal.eventsGone),
    finishedTaskCount: atLeastNone(before.finishedTaskCount + journal.finishedDifference),
    idempotencyKeyCount: atLeastNone(before.idempotencyKeyCount + journal.usedKeysDifference),
  };
  if (!isSame(before, after) || transaction.cluster.retained === undefined)
    transaction.putCluster({ retained: after });
  return journal.alerts;
}

function* rowsOf<Item>({ entry, nowMs }: Transaction, items: readonly Item[]): Generator<EntryRow<Item>> {
  for (let part = 0; part * ITEMS_PER_ROW < items.length; part += 1) {
    const first = part * ITEMS_PER_ROW;
    yield { index: entry.index, part, atMs: nowMs, items: items.slice(first, first + ITEMS_PER_ROW) };
  }
}

function keyOf({ index, part }: EntryRow<unknown>): string {
  return entryKey(index, part);
}

/** Rows of before there was an account of them are not in it, and leave it all the same. */
function atLeastNone(count: number): number {
  return Math.max(0, count);
}

function isSame(one: Retained, other: Retained): boolean {
  return (
    one.eventCount === other.eventCount &&
    one.finishedTaskCount === other.finishedTaskCount &&
    one.idempotencyKeyCount === other.idempotencyKeyCount
  );
}
