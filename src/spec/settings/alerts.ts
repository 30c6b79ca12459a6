/** Where alerts are sent to. The secret of a webhook goes in and never comes out. */
import { z } from 'zod';

import type { Alerts, AlertEvent, Webhook } from '../../model/alerts.ts';
import { ALERT_EVENTS, ALERT_FORMATS } from '../../model/alerts.ts';
import { refuse, text } from '../fields.ts';
import { SettingsBlock } from './block.ts';

const MOST_WEBHOOKS = 20;
const MOST_URL_CHARACTERS = 2048;
const MOST_SECRET_BYTES = 1024;
/** Shown in the place of a secret; sent back, it stands for the one that there is. */
const HIDDEN = '***';

const url = z
  .unknown()
  .transform((value, context): string => {
    const given = text(context, value, []);
    if (typeof value !== 'string') return z.NEVER;
    const message = faultOfUrl(given);
    // The address itself may hold a credential, and is not repeated.
    if (message !== null) refuse(context, value, message);
    return given;
  })
  .meta({ type: 'string', format: 'uri', pattern: '^https?://', maxLength: MOST_URL_CHARACTERS });

function faultOfUrl(given: string): string | null {
  if (given.length > MOST_URL_CHARACTERS) return `is too long: at most ${MOST_URL_CHARACTERS} characters`;
  if (!URL.canParse(given)) return 'is no address, such as https://alerts.example.com/jarvis';
  const { protocol, username, password } = new URL(given);
  if (!/^https?:\/\//.test(given) || (protocol !== 'https:' && protocol !== 'http:'))
    return 'must begin with https:// or http://';
  if (username !== '' || password !== '')
    return 'must hold no name and no password: there is secret for that';
  return null;
}

/** Never repeated in a message. */
const secret = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value !== 'string') {
      refuse(context, null, 'must be a string');
      return z.NEVER;
    }
    const bytes = Buffer.byteLength(value);
    if (bytes === 0 || bytes > MOST_SECRET_BYTES || !value.isWellFormed())
      refuse(context, null, `must be 1 to ${MOST_SECRET_BYTES} bytes of text`);
    return value;
  })
  .meta({ type: 'string', minLength: 1, maxLength: MOST_SECRET_BYTES });

const events = z.array(z.enum(ALERT_EVENTS)).min(1).max(ALERT_EVENTS.length);

const webhookFields = {
  url: url.meta({ title: 'without name and password; each only once' }),
  events: events.meta({ title: 'what is sent; all of them where it is absent' }).nullish(),
  secret: secret.meta({ title: 'signs what is sent; never shown again' }).nullish(),
  format: z
    .enum(ALERT_FORMATS)
    .meta({ title: 'what is sent; default: `slack` to `hooks.slack.com`, else `json`' })
    .nullish(),
};

const webhook = z.strictObject(webhookFields).transform((plain): Webhook => ({
  url: plain.url,
  events: ordered(plain.events ?? ALERT_EVENTS),
  secret: plain.secret ?? null,
  // Also in what was written before there was a choice.
  ...(plain.format === undefined || plain.format === null ? {} : { format: plain.format }),
}));

function ordered(given: readonly AlertEvent[]): readonly AlertEvent[] {
  return ALERT_EVENTS.filter((event) => given.includes(event));
}

export const alerts = new SettingsBlock<Alerts>('alerts', {
  fields: {
    webhooks: {
      key: 'webhooks',
      schema: z.array(webhook).max(MOST_WEBHOOKS),
      show: (webhooks) => webhooks.map(shown),
      meaning: 'where what needs a person is sent',
    },
  },
  known: { webhooks: Object.keys(webhookFields) },
  faultsOf: ({ webhooks }) =>
    webhooks.flatMap((one, index) => {
      const path = ['webhooks', index];
      const first = webhooks.findIndex((other) => other.url === one.url);
      if (first < index)
        return [{ path: [...path, 'url'], message: `is that of webhooks[${first}]: each address only once` }];
      if (one.secret !== HIDDEN) return [];
      const message = `${HIDDEN} stands for a secret that is there already, and there is none for this address: the secret itself`;
      return [{ path: [...path, 'secret'], message }];
    }),
});

function shown({ url: address, events: told, secret: hidden, format }: Webhook): object {
  const shape = format === undefined ? {} : { format };
  return { url: address, events: told, secret: hidden === null ? null : HIDDEN, ...shape };
}

/** What was shown, and comes back, keeps the secret that it has. */
export function withKeptSecrets(stated: readonly Webhook[], current: Alerts): readonly Webhook[] {
  return stated.map((one) => {
    if (one.secret !== HIDDEN) return one;
    const known = current.webhooks.find(({ url: address }) => address === one.url);
    return { ...one, secret: known?.secret ?? HIDDEN };
  });
}
