/** The settings of the cluster as the API takes them and answers with them; see `spec/settings/`. */
import { z } from 'zod';

import { ALERT_EVENTS } from '../../model/alerts.ts';
import { SCALING_METRICS, SCALING_PROVIDERS } from '../../model/autoscaling.ts';
import { SCHEDULING_POLICIES } from '../../model/cluster.ts';
import { settingsSchema } from '../../spec/settings/settings.ts';
import { component, count, flag, number, text, texts } from './components.ts';

const seconds = number.describe('Seconds');
const rule = z.object({
  metric: z.enum(SCALING_METRICS),
  threshold: number,
  cooldown: seconds,
  action: z.enum(['add_nodes', 'remove_nodes']),
  count,
});
const capacity = z.object({ cpu: text.nullable(), memory: text.nullable() });

const autoscaling = z.object({
  enabled: flag,
  dry_run: flag,
  min_nodes: count,
  max_nodes: count,
  scale_up_rules: z.array(rule),
  scale_down_rules: z.array(rule),
  interval: seconds,
  provider: z.enum(SCALING_PROVIDERS),
  process: z.object({ capacity }).nullable(),
  docker: z.object({ image: text, capacity, network: text.nullable(), mounts: texts.nullable() }).nullable(),
  aws: z
    .object({
      region: text,
      instance_type: text,
      capacity,
      image_id: text.nullable(),
      subnet_id: text.nullable(),
      security_group_ids: texts,
      key_name: text.nullable(),
      instance_profile: text.nullable(),
    })
    .nullable(),
  command: z.object({ add: texts, remove: texts, list: texts, capacity }).nullable(),
});

const webhook = z.object({
  url: text,
  events: z.array(z.enum(ALERT_EVENTS)),
  secret: z.literal('***').nullable().describe('That there is one; never which'),
});

export const settings = component(
  'Settings',
  z.object({
    heartbeat: z.object({ interval: seconds, warning: seconds, timeout: seconds }),
    membership: z.object({
      voters: count.nullable().describe('Null: as many as vote'),
      learners: count,
      voter_grace: seconds,
    }),
    retention: z.object({
      tasks: seconds,
      max_tasks: count,
      events: seconds,
      logs: seconds,
      max_log_bytes: count,
    }),
    retry_policy: z.object({
      max_attempts: count,
      backoff_strategy: z.enum(['exponential', 'fixed']),
      backoff_base: seconds,
      max_backoff: seconds,
      retryable_errors: texts,
      non_retryable_errors: texts,
    }),
    scheduling: z.object({ policy: z.enum(SCHEDULING_POLICIES) }),
    autoscaling,
    alerts: z.object({ webhooks: z.array(webhook) }),
    settling_timeout: seconds.nullable().describe('Seconds; null: that of heartbeat counts'),
  }),
);

export const settingsChange = component(
  'SettingsChange',
  settingsSchema.describe('Blocks of docs/configuration.md; what is absent stays, null is the default'),
);
