/** Messages to webhooks as users see them, and tests of webhooks; by the leader. */
import { createHash } from 'node:crypto';

import type {
  Alert,
  AlertTest,
  AlertWebhook,
  ListAlertsRequest,
  ListAlertsResponse,
  TestAlertRequest,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { formatTime } from '../lib/times.ts';
import { shownTarget } from '../lib/webhook-target.ts';
import type { AlertRow } from '../model/alert-outbox.ts';
import { ALERT_STATUSES, channelKey } from '../model/alert-outbox.ts';
import type { Webhook } from '../model/alerts.ts';
import { alertsOf, formatOf } from '../model/alerts.ts';
import type { Replica } from '../scheduler/ports.ts';
import { invalidInput, show } from '../spec/faults.ts';
import type { TestWebhook } from './node-port.ts';
import type { AlertOperations, CallContext } from './port.ts';

const ID_CHARACTERS = 18;

export interface LocalAlertsOptions {
  readonly replica: Pick<Replica, 'state'>;
  readonly barrier: (context: Pick<CallContext, 'isStale' | 'signal'>) => Promise<void>;
  readonly test: TestWebhook;
}

export class LocalAlerts implements AlertOperations {
  readonly #options: LocalAlertsOptions;
  /** Under way. */
  #tests = 0;

  constructor(options: LocalAlertsOptions) {
    this.#options = options;
  }

  async listAlerts(
    { webhook, status }: ListAlertsRequest,
    context: CallContext,
  ): Promise<ListAlertsResponse> {
    const { replica, barrier } = this.#options;
    checkStatus(status);
    await barrier(context);
    const webhooks = this.#webhooks();
    if (webhook !== 0) numbered(webhooks, webhook);
    const isAsked = (one: Alert): boolean =>
      (webhook === 0 || one.webhook === webhook) && (status === '' || one.status === status);
    const rows = [...replica.state.alerts.values()];
    rows.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? -1 : 1));
    const views = rows.map((row) => viewOf(row, webhooks.findIndex(({ url }) => url === row.url) + 1));
    return {
      items: views.filter(isAsked),
      webhooks: webhooks.map((one, at) => this.#viewOfWebhook(one, at + 1)),
    };
  }

  /** Whoever repeats it with its key sends it again with the same id, for the receiver to know. */
  async testAlert(
    { webhook: number, idempotency_key: key }: TestAlertRequest,
    context: CallContext,
  ): Promise<AlertTest> {
    const { replica, barrier, test } = this.#options;
    const { principal, signal } = context;
    await barrier({ signal });
    const webhook = numbered(this.#webhooks(), number);
    const clusterId = replica.state.cluster?.clusterId ?? '';
    const digest = createHash('sha256')
      .update(JSON.stringify([clusterId, principal, key]))
      .digest('hex');
    const id = `test-${digest.slice(0, ID_CHARACTERS)}`;
    if (this.#tests >= limits.alertTests)
      throw new JarvisError(
        'too_many',
        `${this.#tests} tests of webhooks are under way: try again in a moment`,
      );
    this.#tests += 1;
    const { failure, status } = await test({ webhook, clusterId, id, principal, signal }).finally(() => {
      this.#tests -= 1;
    });
    return {
      id,
      webhook: number,
      target: shownTarget(webhook.url),
      delivered: failure === null,
      status: status ?? undefined,
      error: failure ?? undefined,
    };
  }

  #webhooks(): readonly Webhook[] {
    return alertsOf(this.#options.replica.state.cluster?.config).webhooks;
  }

  #viewOfWebhook(webhook: Webhook, number: number): AlertWebhook {
    const { alertChannels } = this.#options.replica.state;
    const channels = webhook.events.flatMap(
      (event) => alertChannels.get(channelKey(event, webhook.url)) ?? [],
    );
    return {
      webhook: number,
      target: shownTarget(webhook.url),
      format: formatOf(webhook),
      signed: webhook.secret !== null,
      events: [...webhook.events],
      pending: channels.reduce((sum, one) => sum + countOf(one.pending) + countOf(one.gathering), 0),
      delivered: channels.reduce((sum, one) => sum + one.delivered, 0),
      given_up: channels.reduce((sum, one) => sum + one.givenUp, 0),
    };
  }
}

function countOf(id: string | null): number {
  return id === null ? 0 : 1;
}

function checkStatus(status: string): void {
  const known: readonly string[] = ALERT_STATUSES;
  if (status === '' || known.includes(status)) return;
  const message = `${show(status)} is no status of a message: ${known.join(', ')}`;
  throw invalidInput([{ path: 'status', message }]);
}

/** @throws JarvisError not_found */
function numbered(webhooks: readonly Webhook[], number: number): Webhook {
  const webhook = webhooks[number - 1];
  if (webhook !== undefined) return webhook;
  const there = webhooks.length === 0 ? 'there are none' : `they are numbered from 1 to ${webhooks.length}`;
  throw new JarvisError('not_found', `there is no webhook ${number} in the settings of alerts: ${there}`);
}

function viewOf(row: AlertRow, webhook: number): Alert {
  const isOpen = row.endedAtMs === null;
  return {
    id: row.id,
    webhook,
    target: shownTarget(row.url),
    event: row.event,
    status: row.status,
    count: row.count,
    attempts: row.attempts,
    created_at: formatTime(row.createdAtMs),
    next_attempt_at: isOpen && row.notBeforeMs > 0 ? formatTime(row.notBeforeMs) : undefined,
    finished_at: row.endedAtMs === null ? undefined : formatTime(row.endedAtMs),
    error: row.failure ?? undefined,
    occurrences: row.occurrences.map(({ atMs, id, name, oldStatus, newStatus, reason }) => ({
      at: formatTime(atMs),
      id,
      name,
      old_status: oldStatus ?? undefined,
      new_status: newStatus ?? undefined,
      reason: reason ?? undefined,
    })),
  };
}
