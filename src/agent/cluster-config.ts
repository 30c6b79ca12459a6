/** The settings that belong to the cluster: taken from the founders' files, which must agree (docs/contract.md, section 6). */
import { z } from 'zod';

import type { Fault } from '../lib/errors.ts';
import { parseDurationMs } from '../lib/quantities.ts';
import { DEFAULT_MEMBERSHIP, SCHEDULING_POLICIES, type ClusterConfig } from '../model/cluster.ts';
import { parsed, splitPairs } from './config-fields.ts';

const duration = parsed(parseDurationMs);
/** Of maps, what they may hold. */
const KEYS: ReadonlyMap<string, string> = new Map([
  ['heartbeat', 'interval, warning, timeout'],
  ['membership', 'voters, learners, voter_grace'],
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

const schedulingSchema = map('scheduling', {
  policy: z
    .enum(SCHEDULING_POLICIES, { error: `is no policy; allowed: ${SCHEDULING_POLICIES.join(', ')}` })
    .optional(),
});

export const clusterFields = {
  heartbeat: heartbeatSchema,
  membership: membershipSchema,
  scheduling: schedulingSchema,
};

interface Raw {
  readonly heartbeat: z.infer<typeof heartbeatSchema>;
  readonly membership: z.infer<typeof membershipSchema>;
  readonly scheduling: z.infer<typeof schedulingSchema>;
}

/** @param founders how many nodes vote where nothing is said */
export function parseClusterConfig(
  { heartbeat, membership, scheduling }: Raw,
  founders: number,
  faults: Fault[],
): ClusterConfig {
  const intervalMs = heartbeat.interval ?? 2000;
  const warningMs = heartbeat.warning ?? 10_000;
  const timeoutMs = heartbeat.timeout ?? 30_000;
  if (!(intervalMs >= 100 && intervalMs * 2 <= warningMs && warningMs < timeoutMs)) {
    faults.push({
      path: 'heartbeat',
      message:
        `interval ${intervalMs} ms, warning ${warningMs} ms, timeout ${timeoutMs} ms; allowed: an interval of at least ` +
        '100ms, a warning of at least two intervals, a timeout above the warning',
    });
  }
  const { voters = founders, learners = DEFAULT_MEMBERSHIP.learners } = membership;
  const voterGraceMs = membership.voter_grace ?? DEFAULT_MEMBERSHIP.voterGraceMs;
  return {
    heartbeat: { intervalMs, warningMs, timeoutMs },
    membership: { voters, learners, voterGraceMs },
    scheduling: { policy: scheduling.policy ?? 'spread' },
  };
}
