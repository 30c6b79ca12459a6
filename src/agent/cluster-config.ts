/** The settings that belong to the cluster: taken from the founders' files, which must agree (docs/contract.md, section 6). */
import { z } from 'zod';

import type { Fault } from '../lib/errors.ts';
import { parseDurationMs, parseMemoryBytes } from '../lib/quantities.ts';
import { heartbeatFault } from '../model/timeouts.ts';
import { formatPath } from '../spec/faults.ts';
import { checkRetryPolicy, DEFAULT_RETRY_POLICY } from '../spec/task-schema.ts';
import type { RetryPolicy } from '../model/task.ts';
import {
  DEFAULT_LOG_RETENTION,
  DEFAULT_MEMBERSHIP,
  DEFAULT_RETENTION,
  SCHEDULING_POLICIES,
  type ClusterConfig,
} from '../model/cluster.ts';
import { parsed, splitPairs, yamlOfText } from './config-fields.ts';

const duration = parsed(parseDurationMs);
/** Of maps, what they may hold. */
const KEYS: ReadonlyMap<string, string> = new Map([
  ['heartbeat', 'interval, warning, timeout'],
  ['membership', 'voters, learners, voter_grace'],
  ['retention', 'tasks, max_tasks, events, logs, max_log_bytes'],
  ['scheduling', 'policy'],
]);

/** The keys of the map at that path; undefined where there is none. */
export function clusterKeysAt(path: string): string | undefined {
  return KEYS.get(path);
}

/** A map in the file; `interval=1s,timeout=5s` in a variable. */
function map<Shape extends z.core.$ZodLooseShape>(name: string, shape: Shape) {
  return z
    .preprocess(
      (value) => (typeof value === 'string' ? Object.fromEntries(splitPairs(value)) : value),
      z.strictObject(shape, {
        error: (issue) => (issue.code === 'invalid_type' ? `is not a map of ${KEYS.get(name)}` : undefined),
      }),
    )
    .prefault({});
}

const VOTERS = [1, 3, 5, 7];
const count = z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)], {
  error: 'is not a number',
});

const KEEPABLE = 'is not allowed: 1s to 3650d';

function isKeepable(durationMs: number): boolean {
  return durationMs >= 1000 && durationMs <= 3650 * 24 * 3_600_000;
}

const heartbeatSchema = map('heartbeat', {
  interval: duration.optional(),
  warning: duration.optional(),
  timeout: duration.optional(),
});

/** How many nodes vote, how many more receive the log, and how long a voter may be dead before it is replaced. */
const membershipSchema = map('membership', {
  voters: count.refine((value) => VOTERS.includes(value), `is not allowed: ${VOTERS.join(', ')}`).optional(),
  learners: count
    .refine((value) => Number.isInteger(value) && value >= 0 && value <= 100, 'is not allowed: 0 to 100')
    .optional(),
  voter_grace: duration.optional(),
});

/** How long, and how much, is kept of what is over. */
const retentionSchema = map('retention', {
  tasks: duration.refine(isKeepable, KEEPABLE).optional(),
  max_tasks: count
    .refine(
      (value) => Number.isInteger(value) && value >= 0 && value <= 100_000_000,
      'is not allowed: 0 to 100000000',
    )
    .optional(),
  events: duration.refine(isKeepable, KEEPABLE).optional(),
  logs: duration.refine(isKeepable, KEEPABLE).optional(),
  max_log_bytes: parsed(parseMemoryBytes).optional(),
});

const schedulingSchema = map('scheduling', {
  policy: z
    .enum(SCHEDULING_POLICIES, { error: `is no policy; allowed: ${SCHEDULING_POLICIES.join(', ')}` })
    .optional(),
});

export const clusterFields = {
  heartbeat: heartbeatSchema,
  membership: membershipSchema,
  retention: retentionSchema,
  // As in a task: read by the same rules below. YAML in a variable.
  retry_policy: z.preprocess(yamlOfText, z.unknown()).optional(),
  scheduling: schedulingSchema,
};

interface Raw {
  readonly heartbeat: z.infer<typeof heartbeatSchema>;
  readonly membership: z.infer<typeof membershipSchema>;
  readonly retention: z.infer<typeof retentionSchema>;
  readonly retry_policy?: unknown;
  readonly scheduling: z.infer<typeof schedulingSchema>;
}

/** @param founders how many nodes vote where nothing is said */
export function parseClusterConfig(
  { heartbeat, membership, retention, retry_policy: retryPolicy, scheduling }: Raw,
  founders: number,
  faults: Fault[],
): ClusterConfig {
  const intervalMs = heartbeat.interval ?? 2000;
  const warningMs = heartbeat.warning ?? 10_000;
  const timeoutMs = heartbeat.timeout ?? 30_000;
  const fault = heartbeatFault({ intervalMs, warningMs, timeoutMs });
  if (fault !== null) faults.push({ path: 'heartbeat', message: fault });
  const { voters = founders, learners = DEFAULT_MEMBERSHIP.learners } = membership;
  const voterGraceMs = membership.voter_grace ?? DEFAULT_MEMBERSHIP.voterGraceMs;
  return {
    heartbeat: { intervalMs, warningMs, timeoutMs },
    membership: { voters, learners, voterGraceMs },
    retention: {
      tasksMs: retention.tasks ?? DEFAULT_RETENTION.tasksMs,
      maxTasks: retention.max_tasks ?? DEFAULT_RETENTION.maxTasks,
      eventsMs: retention.events ?? DEFAULT_RETENTION.eventsMs,
      logsMs: retention.logs ?? DEFAULT_LOG_RETENTION.logsMs,
      maxLogBytes: retention.max_log_bytes ?? DEFAULT_LOG_RETENTION.maxLogBytes,
    },
    retryPolicy: parseRetryPolicy(retryPolicy ?? {}, faults),
    scheduling: { policy: scheduling.policy ?? 'spread' },
  };
}

/** What is named of it, without what is filled in. */
export function statedHeartbeat({ heartbeat }: Pick<Raw, 'heartbeat'>): Partial<ClusterConfig['heartbeat']> {
  const { interval, warning, timeout } = heartbeat;
  return {
    ...(interval === undefined ? {} : { intervalMs: interval }),
    ...(warning === undefined ? {} : { warningMs: warning }),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
  };
}

function parseRetryPolicy(plain: unknown, faults: Fault[]): RetryPolicy {
  const result = checkRetryPolicy(plain);
  if ('policy' in result) return result.policy;
  for (const { path, message } of result.faults)
    faults.push({ path: formatPath(['retry_policy', ...path]), message });
  return DEFAULT_RETRY_POLICY;
}
