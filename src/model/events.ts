/** Changes of state as rows of their own: one row for each entry that made any, kept until retention takes it. */

import type { AlertEvent } from './alerts.ts';

/**
 * What an event is about. An instance is what the autoscaler has asked a provider for, by the name of its node. An alert says once more, beside the event itself, what needs a person.
 */
export const EVENT_KINDS = ['task', 'batch', 'dag', 'node', 'instance', 'cluster', 'alert'] as const;
type EventKind = (typeof EVENT_KINDS)[number];

/**
 * Alerts, by the names under which people subscribe to them (docs/contract.md, section 6); and what became of one that was
 * told to nobody, to which nobody can subscribe.
 */
export type Alert = AlertEvent | 'alert.given_up' | 'alert.withdrawn';

/** Of an alert: `name` says which, `id` and the statuses are those of the object that it is about. */
export interface StateEvent {
  readonly kind: EventKind;
  readonly id: string;
  readonly name: string;
  /** Null: it is new. */
  readonly oldStatus: string | null;
  /** Null: it is gone. */
  readonly newStatus: string | null;
  readonly reason: string | null;
}

/** {@link StateEvent} without the names of its fields, which would be most of its bytes. */
export type StoredEvent = readonly [
  kind: EventKind,
  id: string,
  name: string,
  oldStatus: string | null,
  newStatus: string | null,
  reason: string | null,
];

/**
 * What an entry has come to, apart from the rows that it changed. Key: {@link entryKey}. In the store only. An entry that
 * has come to much has several rows, so that none is large.
 */
export interface EntryRow<Item> {
  readonly index: number;
  /** Of the rows of the entry, from 0 on; all but the last of them hold {@link ITEMS_PER_ROW}. */
  readonly part: number;
  /** The cluster's time as of the entry. */
  readonly atMs: number;
  /** In the order in which the entry made them. */
  readonly items: readonly Item[];
}

export type EventRow = EntryRow<StoredEvent>;
/** Ids of what the entry has ended, for retention to find it by age. */
export type FinishedRow = EntryRow<string>;
/** Idempotency keys that the entry has used first, for retention. */
export type UsedKeysRow = EntryRow<string>;

/** Part of the format: the place of an event in its entry follows from it. */
export const ITEMS_PER_ROW = 250;
/** Wide enough for every safe integer, so that text sorts as the numbers do. */
const INDEX_DIGITS = 16;
const PART_DIGITS = 6;

export function entryKey(index: number, part = 0): string {
  const key = String(index).padStart(INDEX_DIGITS, '0');
  return part === 0 ? key : `${key}.${String(part).padStart(PART_DIGITS, '0')}`;
}

export function eventOf([kind, id, name, oldStatus, newStatus, reason]: StoredEvent): StateEvent {
  return { kind, id, name, oldStatus, newStatus, reason };
}
