/** What is told to people, and where to (docs/contract.md, section 6). */

export const ALERT_EVENTS = [
  'node.unhealthy',
  'node.offline',
  'task.permanently_failed',
  'quorum.at_risk',
  'autoscaler.failed',
] as const;
export type AlertEvent = (typeof ALERT_EVENTS)[number];

export interface Webhook {
  readonly url: string;
  readonly events: readonly AlertEvent[];
  /** Signs what is sent. Never shown. Null: nothing is signed. */
  readonly secret: string | null;
}

export interface Alerts {
  readonly webhooks: readonly Webhook[];
}
