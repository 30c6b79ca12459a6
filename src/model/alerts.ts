/** What is told to people, and where to (docs/contract.md, section 6). */

export const ALERT_EVENTS = [
  'node.unhealthy',
  'node.offline',
  'task.permanently_failed',
  'quorum.at_risk',
  'autoscaler.failed',
] as const;
export type AlertEvent = (typeof ALERT_EVENTS)[number];

/** What a webhook is sent: a document of Jarvis, or what incoming webhooks of Slack take. */
export const ALERT_FORMATS = ['json', 'slack'] as const;
export type AlertFormat = (typeof ALERT_FORMATS)[number];

export interface Webhook {
  readonly url: string;
  readonly events: readonly AlertEvent[];
  /** Signs what is sent. Never shown. Null: nothing is signed. */
  readonly secret: string | null;
  /** Absent: by its address. */
  readonly format?: AlertFormat;
}

export interface Alerts {
  readonly webhooks: readonly Webhook[];
}

export function alertsOf(config: { readonly alerts?: Alerts } | undefined): Alerts {
  return config?.alerts ?? { webhooks: [] };
}

const SLACK_URL = 'https://hooks.slack.com/';

export function formatOf({ url, format }: Webhook): AlertFormat {
  return format ?? (url.startsWith(SLACK_URL) ? 'slack' : 'json');
}
