/** Messages to webhooks as JSON: what the HTTP API returns and `jarvisctl -o json` prints. */
import type { Alert, AlertTest, AlertWebhook, ListAlertsResponse } from '../generated/cluster.ts';
import { listToJson } from './json.ts';

export function alertsToJson({ items, webhooks }: ListAlertsResponse): object {
  return { ...listToJson(items.map(alertToJson)), webhooks: webhooks.map(webhookToJson) };
}

function alertToJson(alert: Alert): object {
  return {
    id: alert.id,
    webhook: alert.webhook,
    target: alert.target,
    event: alert.event,
    status: alert.status,
    count: alert.count,
    attempts: alert.attempts,
    created_at: alert.created_at,
    next_attempt_at: alert.next_attempt_at ?? null,
    finished_at: alert.finished_at ?? null,
    error: alert.error ?? null,
    occurrences: alert.occurrences.map((one) => ({
      at: one.at,
      id: one.id,
      name: one.name,
      old_status: one.old_status ?? null,
      new_status: one.new_status ?? null,
      reason: one.reason ?? null,
    })),
  };
}

function webhookToJson(webhook: AlertWebhook): object {
  return {
    webhook: webhook.webhook,
    target: webhook.target,
    format: webhook.format,
    signed: webhook.signed,
    events: webhook.events,
    pending: webhook.pending,
    delivered: webhook.delivered,
    given_up: webhook.given_up,
  };
}

export function alertTestToJson({ id, webhook, target, delivered, status, error }: AlertTest): object {
  return { id, webhook, target, delivered, status: status ?? null, error: error ?? null };
}
