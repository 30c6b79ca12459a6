/**
 * What users write as a task (docs/contract.md, section 3), checked at the edge: every fault at once, each with its
 * place, what was given and what is allowed. What comes out is the model's TaskSpec with every default filled in.
 */
import { z } from 'zod';

import { parseImageReference } from '../lib/image-reference.ts';
import { parseCpuMillis, parseDurationMs, parseMemoryBytes } from '../lib/quantities.ts';
import type { ContainerSpec, Resources, RetryPolicy, TaskLimits, TaskSpec } from '../model/task.ts';
import { ON_NODE_LOSS, PRIORITIES } from '../model/task.ts';
import { image, limitFields, mountFields, mounts, network, pullPolicy, user } from './container-fields.ts';
import { withContainerFaults } from './container-rules.ts';
import {
  CPU_SCHEMA,
  DURATION_SCHEMA,
  SIZE_SCHEMA,
  command,
  env,
  labels,
  name,
  quantity,
  wholeNumber,
  workingDir,
} from './fields.ts';
import {
  affinity,
  affinityFields,
  antiFields,
  concurrency,
  concurrencyFields,
  labelRuleFields,
  locality,
  localityFields,
  notBefore,
  weightedRuleFields,
} from './placement-fields.ts';
import type { KnownFields, LocatedFault } from './faults.ts';
import { faultsOf, formatPath, invalidInput, show } from './faults.ts';

/** A Node.js timer waits 2^31 - 1 ms at most; whole days below that. */
const MAX_TIMEOUT_MS = 24 * 24 * 3600 * 1000;
const MAX_STOP_GRACE_MS = 3600 * 1000;
const MAX_ATTEMPTS = 1000;
const MAX_BACKOFF_SECONDS = 7 * 24 * 3600;
const MAX_ERROR_TYPES = 100;
const DEFAULT_RESOURCES: Resources = { cpuMillis: 100, memoryBytes: 64 * 1024 * 1024 };

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: 3,
  backoffStrategy: 'exponential',
  backoffBase: 2,
  maxBackoff: 300,
  retryableErrors: ['ConnectionTimeout', 'ServiceUnavailable', 'TemporaryFailure'],
  nonRetryableErrors: ['InvalidInput', 'AuthenticationError', 'ResourceNotFound'],
};

const cpu = quantity({
  parse: parseCpuMillis,
  allowed: 'cores such as 2 or 0.5, or thousandths such as 500m; more than 0',
  minimum: 1,
  maximum: 1_000_000_000,
  jsonSchema: CPU_SCHEMA,
});

const memory = quantity({
  parse: parseMemoryBytes,
  allowed: 'bytes, or a quantity such as 512Mi or 2G; more than 0',
  minimum: 1,
  maximum: 2 ** 52,
  jsonSchema: SIZE_SCHEMA,
});

const timeout = quantity({
  parse: parseDurationMs,
  allowed: 'seconds, or a duration such as 90s, 5m or 1h; more than 0, at most 24d',
  minimum: 1,
  maximum: MAX_TIMEOUT_MS,
  jsonSchema: DURATION_SCHEMA,
});

const stopGrace = quantity({
  parse: parseDurationMs,
  allowed: 'seconds, or a duration such as 10s; at most 1h',
  minimum: 0,
  maximum: MAX_STOP_GRACE_MS,
  jsonSchema: DURATION_SCHEMA,
});

const kind = z
  .unknown()
  .transform((value, context) => {
    if (value === 'Task') return value;
    const message = `${show(value)} is not allowed: must be Task`;
    context.issues.push({ code: 'custom', input: value, message });
    return z.NEVER;
  })
  .meta({ const: 'Task' });

const errorType = z
  .string()
  .min(1)
  .max(128)
  // oxlint-disable-next-line no-control-regex -- what is looked for
  .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, 'must not contain control characters')
  .refine((type) => type.isWellFormed(), 'must be valid Unicode');
const errorTypes = z.array(errorType).max(MAX_ERROR_TYPES).nullish();

const resourceFields = { cpu: cpu.nullish(), memory: memory.nullish() };

export const retryFields = {
  max_attempts: wholeNumber(1, MAX_ATTEMPTS).nullish(),
  backoff_strategy: z.enum(['exponential', 'fixed']).nullish(),
  backoff_base: z.number().min(0).max(MAX_BACKOFF_SECONDS).nullish(),
  max_backoff: z.number().min(0).max(MAX_BACKOFF_SECONDS).nullish(),
  retryable_errors: errorTypes,
  non_retryable_errors: errorTypes,
};

const retrySchema = z.strictObject(retryFields);

const taskFields = {
  apiVersion: z.literal('jarvis/v1').nullish(),
  kind: kind.nullish(),
  name: name.nullish(),
  image: image.nullish(),
  command: command.nullish(),
  env: env.nullish(),
  working_dir: workingDir.nullish(),
  user: user.nullish(),
  mounts: mounts.nullish(),
  network: network.nullish(),
  pull_policy: pullPolicy.nullish(),
  resources: z.strictObject(resourceFields).nullish(),
  limits: z.strictObject(limitFields).nullish(),
  priority: z.enum(PRIORITIES).nullish(),
  timeout: timeout.nullish(),
  stop_grace: stopGrace.nullish(),
  retry_policy: retrySchema.nullish(),
  on_node_loss: z.enum(ON_NODE_LOSS).nullish(),
  labels: labels.nullish(),
  not_before: notBefore.nullish(),
  concurrency: concurrency.nullish(),
  affinity: affinity.nullish(),
  locality: locality.nullish(),
};

const KNOWN: Readonly<Record<string, KnownFields>> = {
  '': { fields: Object.keys(taskFields), unsupported: [] },
  resources: { fields: Object.keys(resourceFields), unsupported: ['pids'] },
  mounts: { fields: Object.keys(mountFields), unsupported: [] },
  limits: { fields: Object.keys(limitFields), unsupported: [] },
  retry_policy: { fields: Object.keys(retryFields), unsupported: [] },
  concurrency: { fields: Object.keys(concurrencyFields), unsupported: [] },
  affinity: { fields: Object.keys(affinityFields), unsupported: [] },
  'affinity.required': { fields: Object.keys(labelRuleFields), unsupported: [] },
  'affinity.preferred': { fields: Object.keys(weightedRuleFields), unsupported: [] },
  'affinity.anti': { fields: Object.keys(antiFields), unsupported: [] },
  locality: { fields: Object.keys(localityFields), unsupported: [] },
};

export const taskSpecSchema = z.strictObject(taskFields);

/** Either the task, or everything that is wrong with it. */
export type TaskSpecResult =
  | { readonly type: 'valid'; readonly spec: TaskSpec }
  | { readonly type: 'invalid'; readonly faults: readonly LocatedFault[] };

/** Checks one task as users write it (JSON, or YAML once parsed). Never throws. @param retryPolicy the cluster's default */
export function checkTaskSpec(
  plain: unknown,
  retryPolicy: RetryPolicy = DEFAULT_RETRY_POLICY,
): TaskSpecResult {
  const result = taskSpecSchema.safeParse(plain, { reportInput: true });
  const found = result.success ? [] : faultsOf(result.error, KNOWN);
  const faults = withContainerFaults(plain, found, { resources: resourceFields, limits: limitFields });
  if (!result.success || faults.length > 0) return { type: 'invalid', faults };
  return { type: 'valid', spec: toModel(result.data, retryPolicy) };
}

/** @throws JarvisError invalid, with all faults; their paths begin with `at` (such as `tasks[1]`) where given. */
export function parseTaskSpec(plain: unknown, at: LocatedFault['path'] = []): TaskSpec {
  const result = checkTaskSpec(plain);
  if (result.type === 'valid') return result.spec;
  throw invalidInput(
    result.faults.map((fault) => ({ path: formatPath([...at, ...fault.path]), message: fault.message })),
  );
}

type Fields = z.output<typeof taskSpecSchema>;

function toModel(fields: Fields, retryPolicy: RetryPolicy): TaskSpec {
  const limits = limitsOf(fields);
  return {
    name: fields.name ?? defaultName(fields),
    container: containerOf(fields),
    user: isAbsent(fields.image) ? (fields.user ?? null) : null,
    command: fields.command ?? [],
    env: fields.env?.pairs ?? [],
    workingDir: fields.working_dir ?? null,
    resources: resourcesOf(fields, limits),
    limits,
    priority: fields.priority ?? 'normal',
    timeoutMs: fields.timeout ?? null,
    stopGraceMs: fields.stop_grace ?? 10_000,
    retryPolicy: policyOf(fields.retry_policy ?? {}, retryPolicy),
    onNodeLoss: fields.on_node_loss ?? 'reschedule',
    labels: fields.labels ?? [],
    ...sensitiveOf(fields),
    ...placementOf(fields),
  };
}

/** What is not asked for is left out: a request reads, and is remembered, as before there was such a thing. */
function placementOf(
  fields: Fields,
): Pick<TaskSpec, 'notBeforeMs' | 'concurrency' | 'affinity' | 'locality'> {
  const { not_before: notBeforeMs, concurrency: key, affinity: rules, locality: place } = fields;
  const hasRules = !isAbsent(rules) && rules.required.length + rules.preferred.length + rules.anti.length > 0;
  return {
    ...(isAbsent(notBeforeMs) ? {} : { notBeforeMs }),
    ...(isAbsent(key) ? {} : { concurrency: key }),
    ...(hasRules ? { affinity: rules } : {}),
    ...(isAbsent(place) || place.near.length === 0 ? {} : { locality: place }),
  };
}

function sensitiveOf({ env: given }: Fields): Pick<TaskSpec, 'sensitiveEnv'> {
  return isAbsent(given) || given.sensitive.length === 0 ? {} : { sensitiveEnv: given.sensitive };
}

/** What is not said is as in the default. */
function policyOf(fields: z.output<typeof retrySchema>, otherwise: RetryPolicy): RetryPolicy {
  return {
    maxAttempts: fields.max_attempts ?? otherwise.maxAttempts,
    backoffStrategy: fields.backoff_strategy ?? otherwise.backoffStrategy,
    backoffBase: fields.backoff_base ?? otherwise.backoffBase,
    maxBackoff: fields.max_backoff ?? otherwise.maxBackoff,
    retryableErrors: fields.retryable_errors ?? otherwise.retryableErrors,
    nonRetryableErrors: fields.non_retryable_errors ?? otherwise.nonRetryableErrors,
  };
}

function containerOf(fields: Fields): ContainerSpec | null {
  if (isAbsent(fields.image)) return null;
  return {
    image: fields.image,
    user: fields.user ?? null,
    mounts: (fields.mounts ?? []).map(({ source, target, read_only: readOnly }) => ({
      source,
      target,
      readOnly: readOnly ?? false,
    })),
    network: fields.network ?? 'bridge',
    pullPolicy: fields.pull_policy ?? 'if_not_present',
  };
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function limitsOf({ limits }: Fields): TaskLimits {
  return {
    cpuMillis: limits?.cpu ?? null,
    memoryBytes: limits?.memory ?? null,
    pids: limits?.pids ?? null,
  };
}

/** Nothing is set aside that the task could never use: a limit below the default takes its place. */
function resourcesOf({ resources }: Fields, limits: TaskLimits): Resources {
  const { cpuMillis, memoryBytes } = DEFAULT_RESOURCES;
  return {
    cpuMillis: resources?.cpu ?? Math.min(cpuMillis, limits.cpuMillis ?? cpuMillis),
    memoryBytes: resources?.memory ?? Math.min(memoryBytes, limits.memoryBytes ?? memoryBytes),
  };
}

/** The last part of the image's path, or of the program's, made to fit the pattern of names. */
function defaultName({ image: reference, command: words }: Fields): string {
  const program = words?.[0] ?? '';
  const path =
    reference === null || reference === undefined ? program : parseImageReference(reference).repository;
  const base = path.split('/').at(-1) ?? '';
  const clean = base.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return clean === '' ? 'task' : clean.slice(0, 128);
}
