/** Changes of state as rows of their own: one row for each entry that made any, kept until retention takes it. */

/** What an event is about. An alert says once more, beside the event itself, what needs a person. */
export const EVENT_KINDS = ['task', 'batch', 'dag', 'node', 'cluster', 'alert'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Alerts, by the names under which people subscribe to them (docs/contract.md, section 6). */
export const ALERTS = ['task.permanently_failed', 'node.unhealthy', 'node.offline'] as const;
export type Alert = (typeof ALERTS)[number];

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

/** Key: {@link indexKey} of the entry. In the store only. */
export interface EventRow {
  readonly index: number;
  /** The cluster's time as of the entry. */
  readonly atMs: number;
  /** In the order in which the entry made them. */
  readonly events: readonly StoredEvent[];
}

/** Tasks that an entry ended, for retention to find them by age. Key: {@link indexKey}. In the store only. */
export interface FinishedRow {
  readonly index: number;
  readonly atMs: number;
  readonly taskIds: readonly string[];
}

/** Idempotency keys that an entry has used first, for retention. Key: {@link indexKey}. In the store only. */
export interface UsedKeysRow {
  readonly index: number;
  readonly atMs: number;
  readonly keys: readonly string[];
}

/** Wide enough for every safe integer, so that text sorts as the numbers do. */
const INDEX_DIGITS = 16;

export function indexKey(index: number): string {
  return String(index).padStart(INDEX_DIGITS, '0');
}

export function eventOf([kind, id, name, oldStatus, newStatus, reason]: StoredEvent): StateEvent {
  return { kind, id, name, oldStatus, newStatus, reason };
}
