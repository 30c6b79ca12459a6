/** Sends messages to webhooks, signed where there is a secret. Keeps nothing: whether they are sent again is not its business. */
import type { Clock } from '../../lib/clock.ts';
import { limits } from '../../lib/limits.ts';
import type { Webhook } from '../../model/alerts.ts';
import { formatOf } from '../../model/alerts.ts';
import type { TestWebhook } from '../../operations/node-port.ts';
import type { AlertMessage } from './message.ts';
import { bodyOf } from './message.ts';
import type { PostOutcome } from './post.ts';
import { post } from './post.ts';
import { signatureOf } from './signature.ts';

export interface WebhookCall {
  readonly webhook: Webhook;
  readonly message: AlertMessage;
  /** Which request for the message it is, from 1 on. */
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** Never rejects. */
export type SendToWebhook = (call: WebhookCall) => Promise<PostOutcome>;

/** @param version of Jarvis */
export function webhookSender({ clock, version }: { clock: Clock; version: string }): SendToWebhook {
  return ({ webhook, message, attempt, signal }) => {
    const body = bodyOf(message, formatOf(webhook));
    const { secret, url } = webhook;
    const headers: Record<string, string> = {
      'user-agent': `jarvis/${version}`,
      'jarvis-alert-id': message.id,
      'jarvis-event': message.event,
      'jarvis-attempt': String(attempt),
    };
    if (secret !== null) headers['jarvis-signature'] = signatureOf(secret, clock.wallMs(), body);
    return post({ url, body, headers, timeoutMs: limits.alertRequestMs, clock, signal });
  };
}

/** Sends a message that says that it is a test, once. */
export function webhookTester(options: { clock: Clock; version: string }): TestWebhook {
  const send = webhookSender(options);
  return ({ webhook, clusterId, id, principal, signal }) => {
    const atMs = options.clock.wallMs();
    const occurrence = {
      id: clusterId,
      name: 'alerts',
      oldStatus: null,
      newStatus: null,
      reason: `a test that ${principal} has asked for`,
      atMs,
    };
    const message = {
      id,
      event: 'test',
      clusterId,
      createdAtMs: atMs,
      count: 1,
      occurrences: [occurrence],
    } as const;
    return send({ webhook, message, attempt: 1, signal });
  };
}
