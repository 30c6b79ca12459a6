/** Tasks as the API answers with them; see `spec/json.ts`. */
import { z } from 'zod';

import { component, count, flag, list, number, text, texts, textsByName, time } from './components.ts';

const error = z.object({ type: text, message: text }).nullable();

export const taskStatus = z.enum([
  'WAITING',
  'PENDING',
  'ASSIGNED',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'PERMANENTLY_FAILED',
  'CANCELLED',
  'SKIPPED',
]);

const attempt = component(
  'Attempt',
  z.object({
    attempt: count,
    assignment: count,
    node: text,
    status: text,
    exit_code: z.int().nullable(),
    signal: text.nullable(),
    error,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    log_tail: text,
    image_digest: text.nullable(),
    log_node: text.describe('That has its output'),
    stopping: z
      .object({
        reason: text.describe('cancelled, drain, stopped, timeout or lease_lost'),
        since: time,
        kill_at: time,
      })
      .nullable(),
  }),
);

const retryPolicy = z.object({
  max_attempts: count.nullable(),
  backoff_strategy: text.nullable(),
  backoff_base: number.nullable(),
  max_backoff: number.nullable(),
  retryable_errors: texts,
  non_retryable_errors: texts,
});

const labelRule = z.object({
  key: text,
  operator: text,
  values: texts.optional(),
  weight: z.int().optional(),
});

const placement = {
  concurrency: z.object({ key: text, max: count }).nullable(),
  affinity: z
    .object({
      required: z.array(labelRule).optional(),
      preferred: z.array(labelRule).optional(),
      anti: z.array(z.object({ batch: text.optional(), labels: textsByName.optional() })).optional(),
    })
    .nullable(),
  locality: z
    .object({ near: z.array(z.union([text.describe('Such as zone=a'), z.object({ task: text })])) })
    .nullable(),
};

export const task = component(
  'Task',
  z.object({
    id: text,
    name: text,
    image: text.nullable(),
    command: texts,
    env: z
      .record(text, z.union([text, z.object({ sensitive: z.literal(true) })]))
      .describe('Of a sensitive variable only that there is one'),
    working_dir: text.nullable(),
    user: text.nullable(),
    mounts: z.array(z.object({ source: text, target: text, read_only: flag })),
    network: text.nullable(),
    pull_policy: text.nullable(),
    resources: z.object({ cpu: text.nullable(), memory: text.nullable() }),
    limits: z.object({ cpu: text.nullable(), memory: text.nullable(), pids: count.nullable() }).nullable(),
    priority: text,
    timeout: number.nullable().describe('Seconds'),
    stop_grace: number.describe('Seconds from TERM to KILL'),
    retry_policy: retryPolicy.nullable(),
    on_node_loss: text,
    labels: textsByName,
    not_before: time.nullable(),
    ...placement,
    status: taskStatus,
    status_reason: text.nullable(),
    attempt: count.describe('Executions begun so far'),
    retry_count: count,
    node: text.nullable(),
    exit_code: z.int().nullable(),
    signal: text.nullable(),
    error,
    result: z.unknown().describe('What the task gave back: any JSON'),
    batch_id: text.nullable(),
    batch_index: count.nullable(),
    dag_id: text.nullable(),
    dag_task: text.nullable(),
    dependencies: texts.nullable(),
    created_at: time,
    scheduled_at: time.nullable(),
    started_at: time.nullable(),
    finished_at: time.nullable(),
    attempts: z.array(attempt),
  }),
);

export const taskList = list('TaskList', task);

const reason = component(
  'Reason',
  z.object({
    filter: text,
    excluded: count.describe('Nodes that it rules out'),
    nearest_miss: text,
  }),
);

export const explanation = component(
  'Explanation',
  z.object({
    id: text,
    status: taskStatus,
    position: count.nullable().describe('In the queue, from 1; null: it is not in it'),
    reasons: z.array(reason),
  }),
);

export const plan = component(
  'Plan',
  z.object({
    index: count.describe('Of the state that it is made on'),
    items: z.array(
      z.object({
        name: text,
        count: count.describe('Equal tasks'),
        node: text.nullable().describe('Null: nowhere'),
        reasons: z.array(reason),
      }),
    ),
  }),
);
