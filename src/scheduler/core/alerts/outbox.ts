/**
 * The outbox of alerts (docs/alerts.md): what needs a person becomes, in the entry that brought it about, part of a message
 * for each webhook that asks for it. From then on the message is carried by whoever leads, and its state by the log, so
 * that it is neither forgotten nor begun twice.
 *
 * The first occurrence of an event is told at once. What follows gathers in one message until a window is over and the
 * message before has ended: so a webhook gets a few messages a minute, whatever happens, and there are never more than two
 * of them under way in a channel. A message that is PENDING never changes what it says: its receiver may have it already,
 * and knows it by its id.
 */
import { invariant } from '../../../lib/assert.ts';
import { encodeId } from '../../../lib/ids.ts';
import { limits } from '../../../lib/limits.ts';
import type { AlertChannelRow, AlertOccurrence, AlertRow } from '../../../model/alert-outbox.ts';
import { channelKey } from '../../../model/alert-outbox.ts';
import type { AlertEvent, Alerts } from '../../../model/alerts.ts';
import { ALERT_EVENTS, alertsOf } from '../../../model/alerts.ts';
import type { AlertAttempt } from '../../../model/commands.ts';
import { firstBytes } from '../text.ts';
import type { RaisedAlert, Transaction } from '../transaction.ts';

/** To be called once, when everything else of the entry is done. */
export function raiseAlerts(transaction: Transaction, raised: readonly RaisedAlert[]): void {
  if (raised.length === 0) return;
  const { webhooks } = alertsOf(transaction.cluster.config);
  let position = 0;
  for (const event of ALERT_EVENTS) {
    const told = raised.filter((one) => one.event === event);
    if (told.length === 0) continue;
    for (const { url, events } of webhooks) {
      if (!events.includes(event)) continue;
      raise(transaction, { url, event, told, position });
      position += 1;
    }
  }
}

/** What no webhook asks for any more. */
export function withdrawAlerts(transaction: Transaction, { webhooks }: Alerts): void {
  const asked = new Set(webhooks.flatMap(({ url, events }) => events.map((event) => channelKey(event, url))));
  // The order of a map must not count.
  for (const key of [...transaction.state.alertChannels.keys()].sort()) {
    const channel = transaction.get('alertChannel', key);
    if (channel === null || asked.has(key)) continue;
    for (const id of [...channel.ended, channel.pending, channel.gathering])
      if (id !== null) transaction.delete('alert', id);
    transaction.delete('alertChannel', key);
  }
}

/** What became of a request. One that was recorded already, or whose message is gone, is no news. */
export function recordAttempt(transaction: Transaction, attempt: AlertAttempt): void {
  const row = transaction.get('alert', attempt.id);
  if (row === null || row.status !== 'PENDING' || row.attempts + 1 !== attempt.attempt) return;
  const { nowMs } = transaction;
  const attempts = attempt.attempt;
  if (attempt.failure === null) {
    endMessage(transaction, { ...row, attempts, failure: null, status: 'DELIVERED', endedAtMs: nowMs });
    return;
  }
  const failure = firstBytes(attempt.failure, limits.alertTextBytes);
  if (nowMs - (row.closedAtMs ?? nowMs) >= limits.alertGiveUpMs) {
    endMessage(transaction, { ...row, attempts, failure, status: 'GIVEN_UP', endedAtMs: nowMs });
    return;
  }
  const askedMs = Math.min(attempt.retryAfterMs ?? 0, limits.alertRetryMostMs);
  const notBeforeMs = nowMs + Math.max(retryDelayMs(attempts), askedMs);
  transaction.put('alert', row.id, { ...row, attempts, failure, notBeforeMs });
}

/** Where its time has come; else nothing happens. */
export function closeMessage(transaction: Transaction, id: string): void {
  const row = transaction.get('alert', id);
  const channel = row === null ? null : transaction.get('alertChannel', channelKey(row.event, row.url));
  if (row === null || channel === null || !mayClose(row, channel, transaction.nowMs)) return;
  close(transaction, row, channel);
}

/** Whether a message that gathers is to be sent as it is. */
export function mayClose(row: AlertRow, channel: AlertChannelRow, nowMs: number): boolean {
  return row.status === 'GATHERING' && channel.pending === null && row.notBeforeMs <= nowMs;
}

/** After so many requests that came to nothing. */
export function retryDelayMs(attempts: number): number {
  let delayMs: number = limits.alertRetryLeastMs;
  for (let made = 1; made < attempts && delayMs < limits.alertRetryMostMs; made += 1) delayMs *= 2;
  return Math.min(delayMs, limits.alertRetryMostMs);
}

interface Raising {
  readonly url: string;
  readonly event: AlertEvent;
  readonly told: readonly RaisedAlert[];
  /** Among the messages that the entry may make. */
  readonly position: number;
}

function raise(transaction: Transaction, { url, event, told, position }: Raising): void {
  const { cluster, entry, nowMs, state } = transaction;
  const key = channelKey(event, url);
  const channel = transaction.get('alertChannel', key) ?? newChannel(event, url);
  const gathering = channel.gathering === null ? null : transaction.get('alert', channel.gathering);
  if (gathering !== null) {
    transaction.put('alert', gathering.id, withMore(gathering, told, nowMs));
    return;
  }
  const id = encodeId('alert', { epoch: cluster.epoch, index: entry.index, position }, state.idKey);
  const empty: AlertRow = {
    id,
    url,
    event,
    status: 'GATHERING',
    createdAtMs: nowMs,
    count: 0,
    occurrences: [],
    closedAtMs: null,
    attempts: 0,
    notBeforeMs: channel.closedAtMs === 0 ? 0 : channel.closedAtMs + limits.alertWindowMs,
    failure: null,
    endedAtMs: null,
  };
  const row = withMore(empty, told, nowMs);
  if (mayClose(row, channel, nowMs)) {
    close(transaction, row, channel);
    return;
  }
  transaction.put('alert', id, row);
  transaction.put('alertChannel', key, { ...channel, gathering: id });
}

function newChannel(event: AlertEvent, url: string): AlertChannelRow {
  const none = { gathering: null, pending: null, ended: [], delivered: 0, givenUp: 0 };
  return { url, event, closedAtMs: 0, ...none };
}

function withMore(row: AlertRow, told: readonly RaisedAlert[], atMs: number): AlertRow {
  const room = Math.max(0, limits.alertOccurrences - row.occurrences.length);
  const more = told.slice(0, room).map((one) => occurrenceOf(one, atMs));
  return { ...row, count: row.count + told.length, occurrences: [...row.occurrences, ...more] };
}

function occurrenceOf(
  { id, name, oldStatus, newStatus, reason }: RaisedAlert,
  atMs: number,
): AlertOccurrence {
  return {
    id: firstBytes(id, limits.alertTextBytes),
    name: firstBytes(name, limits.alertTextBytes),
    oldStatus,
    newStatus,
    reason: reason === null ? null : firstBytes(reason, limits.alertTextBytes),
    atMs,
  };
}

function close(transaction: Transaction, row: AlertRow, channel: AlertChannelRow): void {
  const { nowMs } = transaction;
  invariant(channel.pending === null, 'one message of a channel is sent at a time');
  transaction.put('alert', row.id, { ...row, status: 'PENDING', closedAtMs: nowMs, notBeforeMs: nowMs });
  const key = channelKey(row.event, row.url);
  transaction.put('alertChannel', key, { ...channel, closedAtMs: nowMs, pending: row.id, gathering: null });
}

/** Makes way for the one that gathers meanwhile. */
function endMessage(transaction: Transaction, row: AlertRow): void {
  transaction.put('alert', row.id, row);
  const key = channelKey(row.event, row.url);
  const channel = transaction.get('alertChannel', key);
  invariant(channel?.pending === row.id, 'a message that is sent is the one of its channel');
  const ended = [...channel.ended, row.id];
  for (const id of ended.splice(0, Math.max(0, ended.length - limits.alertsEnded)))
    transaction.delete('alert', id);
  transaction.put('alertChannel', key, {
    ...channel,
    pending: null,
    ended,
    delivered: channel.delivered + Number(row.status === 'DELIVERED'),
    givenUp: channel.givenUp + Number(row.status === 'GIVEN_UP'),
  });
  if (channel.gathering !== null) closeMessage(transaction, channel.gathering);
}
