/**
 * What is still to be told to webhooks, and what was told last. A message is what one request carries: it tells of one
 * occurrence or, where many come close together, of all of them. There is one channel for each webhook and event, and in
 * a channel one message at most is being sent while one more gathers what happens meanwhile: however long a receiver is
 * away, nothing grows.
 */
import type { AlertEvent } from './alerts.ts';

/** Something that an alert tells of. */
export interface AlertOccurrence {
  /** The object: a task, a node, the cluster, or whatever failed. */
  readonly id: string;
  readonly name: string;
  readonly oldStatus: string | null;
  readonly newStatus: string | null;
  readonly reason: string | null;
  /** The cluster's time. */
  readonly atMs: number;
}

/**
 * GATHERING: waits for the end of its window, and for the message before it; may still grow. PENDING: is sent as it is, again
 * and again, until it is one of the others.
 */
export const ALERT_STATUSES = ['GATHERING', 'PENDING', 'DELIVERED', 'GIVEN_UP'] as const;
type AlertStatus = (typeof ALERT_STATUSES)[number];

/** A message. By id. */
export interface AlertRow {
  readonly id: string;
  readonly url: string;
  readonly event: AlertEvent;
  readonly status: AlertStatus;
  readonly createdAtMs: number;
  /** Occurrences that it tells of. */
  readonly count: number;
  /** The first of them. */
  readonly occurrences: readonly AlertOccurrence[];
  /** When it was PENDING first; null: it gathers. */
  readonly closedAtMs: number | null;
  /** Requests whose outcome is known. */
  readonly attempts: number;
  /** Neither closed nor sent before that, by the cluster's time. */
  readonly notBeforeMs: number;
  /** What became of the newest request, where it came to nothing. */
  readonly failure: string | null;
  readonly endedAtMs: number | null;
}

/** What there is of one event for one webhook. Key: {@link channelKey}. */
export interface AlertChannelRow {
  readonly url: string;
  readonly event: AlertEvent;
  /** When the newest message was closed; another is closed a window later. */
  readonly closedAtMs: number;
  readonly gathering: string | null;
  readonly pending: string | null;
  /** Ids of those that ended last, oldest first. */
  readonly ended: readonly string[];
  /** Messages since there is this channel. */
  readonly delivered: number;
  readonly givenUp: number;
}

export function channelKey(event: AlertEvent, url: string): string {
  return `${event} ${url}`;
}
