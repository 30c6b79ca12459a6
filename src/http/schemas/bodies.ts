/**
 * What bodies may hold, for readers of the OpenAPI document. What is checked is stricter, and says what is wrong:
 * `spec/task-schema.ts`, `batch-schema.ts`, `dag-schema.ts`.
 */
import { z } from 'zod';

import { LOG_LEVELS } from '../../lib/log.ts';
import { limits } from '../../lib/limits.ts';
import { NETWORK_MODES, ON_NODE_LOSS, PRIORITIES, PULL_POLICIES } from '../../model/task.ts';
import { component } from './components.ts';

const text = z.string();
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
/** Kubernetes writes quantities so. */
const quantity = z.union([z.string(), z.number()]);
const duration = z.union([z.string(), z.number()]).describe('Seconds, or such as 90s, 5m or 1h');
const whole = z.int().min(0);

const labelRule = {
  key: text,
  operator: z.enum(['in', 'not_in', 'exists', 'not_exists']),
  values: z.array(text).nullish(),
};

const taskFields = {
  apiVersion: z.literal('jarvis/v1').nullish(),
  kind: z.literal('Task').nullish(),
  name: name.nullish(),
  image: text.nullish().describe('Absent: a process of the node'),
  command: z.array(text).nullish(),
  env: z
    .record(text, z.union([text, z.strictObject({ value: text, sensitive: z.boolean().optional() })]))
    .nullish()
    .describe('Texts by name, 1 MiB in all; a sensitive value is shown to nobody'),
  working_dir: text.nullish(),
  user: z.union([z.string(), z.number()]).nullish(),
  mounts: z.array(z.strictObject({ source: text, target: text, read_only: z.boolean().nullish() })).nullish(),
  network: z.enum(NETWORK_MODES).nullish(),
  pull_policy: z.enum(PULL_POLICIES).nullish(),
  resources: z
    .strictObject({ cpu: quantity.nullish(), memory: quantity.nullish() })
    .nullish()
    .describe('What is set aside for it: 100m and 64Mi where nothing is said'),
  limits: z
    .strictObject({ cpu: quantity.nullish(), memory: quantity.nullish(), pids: whole.nullish() })
    .nullish()
    .describe('What it can never exceed; absent: no cap'),
  priority: z.enum(PRIORITIES).nullish(),
  timeout: duration.nullish(),
  stop_grace: duration.nullish(),
  retry_policy: z
    .strictObject({
      max_attempts: whole.nullish(),
      backoff_strategy: z.enum(['exponential', 'fixed']).nullish(),
      backoff_base: z.number().nullish(),
      max_backoff: z.number().nullish(),
      retryable_errors: z.array(text).nullish(),
      non_retryable_errors: z.array(text).nullish(),
    })
    .nullish(),
  on_node_loss: z.enum(ON_NODE_LOSS).nullish(),
  labels: z.record(name, text).nullish(),
  not_before: text.nullish().meta({ format: 'date-time' }),
  concurrency: z.strictObject({ key: name, max: whole }).nullish(),
  affinity: z
    .strictObject({
      required: z.array(z.strictObject(labelRule)).nullish(),
      preferred: z
        .array(z.strictObject({ ...labelRule, weight: z.int().min(-100).max(100).nullish() }))
        .nullish(),
      anti: z
        .array(z.strictObject({ batch: z.literal('self').nullish(), labels: z.record(name, text).nullish() }))
        .nullish(),
    })
    .nullish(),
  locality: z
    .strictObject({ near: z.array(z.union([text, z.strictObject({ task: name })])).nullish() })
    .nullish(),
};

export const taskSpec = component('TaskSpec', z.strictObject(taskFields));

const taskTemplate = component(
  'TaskTemplate',
  z
    .strictObject({ ...taskFields, name: text.nullish() })
    .describe('A TaskSpec, in whose strings {{index}} and {{parameter}} are filled in'),
);

const groupFields = {
  apiVersion: z.literal('jarvis/v1').nullish(),
  name: name.nullish(),
  max_parallel: whole.nullish().describe('Tasks of it that run at a time; absent: no bound'),
  max_failures: whole.nullish().describe('One more that fails ends the rest; absent: no bound'),
};

export const batchSpec = component(
  'BatchSpec',
  z.union([
    z.array(taskSpec).min(1).max(limits.listedTasks),
    z.strictObject({
      ...groupFields,
      kind: z.literal('Batch').nullish(),
      tasks: z.array(taskSpec).min(1).max(limits.listedTasks),
    }),
    z.strictObject({
      ...groupFields,
      kind: z.literal('Batch').nullish(),
      template: taskTemplate,
      count: z.int().min(1).max(limits.templateTasks).nullish(),
      parameters: z.array(z.record(name, z.unknown())).min(1).max(limits.templateTasks).nullish(),
    }),
  ]),
);

export const dagSpec = component(
  'DagSpec',
  z.strictObject({
    ...groupFields,
    name,
    kind: z.literal('Dag').nullish(),
    tasks: z
      .array(
        z.strictObject({
          ...taskFields,
          id: name,
          dependencies: z.array(name).nullish().describe('Ids of other tasks of the DAG'),
        }),
      )
      .min(1)
      .max(limits.listedTasks),
  }),
);

export const planSpec = component('PlanSpec', z.union([taskSpec, batchSpec, dagSpec]));

export const taskUpdate = component(
  'TaskUpdate',
  z.strictObject({
    priority: z.enum(PRIORITIES).optional(),
    labels: z.record(name, text.nullable()).optional().describe('Null takes one away; others stay'),
    not_before: text.nullish().meta({ format: 'date-time' }),
  }),
);

export const nodeUpdate = component(
  'NodeUpdate',
  z.strictObject({ labels: z.record(name, text.nullable()).describe('Null takes one away; others stay') }),
);

export const drain = component(
  'DrainSpec',
  z.strictObject({
    deadline: duration.nullish().describe('What is there then is stopped, and moved; absent: an hour'),
    grace: duration.nullish().describe("TERM to KILL after it; absent: each task's stop_grace"),
  }),
);

export const logLevelChange = component(
  'LogLevelChange',
  z.strictObject({
    level: z.enum(LOG_LEVELS),
    for: duration
      .nullish()
      .describe('Then the configured level comes back, 24h at most; 0: not by itself; absent: an hour'),
  }),
);

export const newJoinToken = component(
  'NewJoinToken',
  z.strictObject({
    expires: duration.nullish(),
    uses: whole.nullish(),
    name: name.nullish().describe('The one node that may use it; absent: any'),
  }),
);
