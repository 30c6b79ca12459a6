/** Messages to webhooks as the API answers with them; see `spec/alert-json.ts`. */
import { z } from 'zod';

import { ALERT_EVENTS, ALERT_FORMATS } from '../../model/alerts.ts';
import { ALERT_STATUSES } from '../../model/alert-outbox.ts';
import { component, count, flag, text, texts, time } from './components.ts';

const webhookNumber = z.int().min(1).describe('Number of the webhook in the settings, from 1 on');
const target = text.describe("The webhook's address without what may be a secret in it");

const alert = component(
  'Alert',
  z.object({
    id: text.describe('`Jarvis-Alert-Id` of what is sent'),
    webhook: webhookNumber,
    target,
    event: z.enum(ALERT_EVENTS),
    status: z.enum(ALERT_STATUSES),
    count: count.describe('Occurrences that it tells of'),
    attempts: count.describe('Requests whose outcome is known'),
    created_at: time,
    next_attempt_at: time.nullable(),
    finished_at: time.nullable(),
    error: text.nullable().describe('What became of the newest request, where it came to nothing'),
    occurrences: z
      .array(
        z.object({
          at: time,
          id: text,
          name: text,
          old_status: text.nullable(),
          new_status: text.nullable(),
          reason: text.nullable(),
        }),
      )
      .describe('The first of them'),
  }),
);

export const alertList = component(
  'AlertList',
  z.object({
    items: z.array(alert),
    next_cursor: text.nullable(),
    webhooks: z.array(
      component(
        'AlertWebhook',
        z.object({
          webhook: webhookNumber,
          target,
          format: z.enum(ALERT_FORMATS),
          signed: flag,
          events: texts,
          pending: count.describe('Messages that gather or are to be sent'),
          delivered: count,
          given_up: count,
        }),
      ),
    ),
  }),
);

export const newAlertTest = component('NewAlertTest', z.strictObject({ webhook: webhookNumber }));

export const alertTest = component(
  'AlertTest',
  z.object({
    id: text,
    webhook: webhookNumber,
    target,
    delivered: flag,
    status: z.int().nullable().describe('Of the answer; null: there was none'),
    error: text.nullable(),
  }),
);
