/** How nodes are watched, who holds the log, what is kept of what is over, how tasks are placed and tried again. */
import { z } from 'zod';

import type { ClusterConfig, Retention } from '../../model/cluster.ts';
import { SCHEDULING_POLICIES } from '../../model/cluster.ts';
import type { RetryPolicy } from '../../model/task.ts';
import { heartbeatFault } from '../../model/timeouts.ts';
import { closest } from '../suggest.ts';
import { show } from '../faults.ts';
import { refuse } from '../fields.ts';
import { retryFields } from '../task-schema.ts';
import { SettingsBlock } from './block.ts';
import { asSeconds, count, duration, same, size } from './values.ts';

const SECOND_MS = 1000;
const DAY_MS = 24 * 3_600_000;
const LONGEST_KEPT_MS = 3650 * DAY_MS;
const VOTERS = [1, 3, 5, 7];
const MOST_LEARNERS = 100;
const MOST_TASKS = 100_000_000;

export type Heartbeat = ClusterConfig['heartbeat'];
export type Membership = Required<ClusterConfig>['membership'];
export type Scheduling = Required<ClusterConfig>['scheduling'];

/** The bounds are those of each value by itself; what they must be to each other is a rule of the block. */
const beat = { schema: duration(1, DAY_MS), ...asSeconds };

export const heartbeat = new SettingsBlock<Heartbeat>('heartbeat', {
  fields: {
    interval: { key: 'intervalMs', ...beat, meaning: 'how often a node tells the leader that it lives' },
    warning: {
      key: 'warningMs',
      ...beat,
      meaning: 'a node that is silent for so long is UNHEALTHY: it gets no new work',
    },
    timeout: {
      key: 'timeoutMs',
      ...beat,
      meaning: 'one that is silent for so long is OFFLINE: its tasks are placed elsewhere',
    },
  },
  faultsOf: (model) => {
    const message = heartbeatFault(model);
    return message === null ? [] : [{ path: [], message }];
  },
});

const voters: z.ZodType<number> = z
  .unknown()
  .transform((value, context): number => {
    const given = typeof value === 'string' && /^\d$/.test(value) ? Number(value) : value;
    if (typeof given === 'number' && VOTERS.includes(given)) return given;
    refuse(context, value, `${show(value)} is not allowed: ${VOTERS.join(', ')}`);
    return z.NEVER;
  })
  .meta({ enum: [...VOTERS, ...VOTERS.map(String)] });

export const membership = new SettingsBlock<Membership>('membership', {
  fields: {
    voters: { key: 'voters', schema: voters, show: same, meaning: 'members that are to vote' },
    learners: {
      key: 'learners',
      schema: count(0, MOST_LEARNERS),
      show: same,
      meaning: 'further nodes that receive the log; those beyond them work without a copy',
    },
    voter_grace: {
      key: 'voterGraceMs',
      schema: duration(0, LONGEST_KEPT_MS),
      ...asSeconds,
      meaning: 'a voter that is dead for longer is replaced by a learner',
    },
  },
});

const kept = { schema: duration(SECOND_MS, LONGEST_KEPT_MS), ...asSeconds };

export const retention = new SettingsBlock<Required<Retention>>('retention', {
  fields: {
    tasks: { key: 'tasksMs', ...kept, meaning: 'tasks, batches and DAGs that are over: so long' },
    max_tasks: {
      key: 'maxTasks',
      schema: count(0, MOST_TASKS),
      show: same,
      meaning: 'of those, the newest: so many',
    },
    events: { key: 'eventsMs', ...kept, meaning: 'events: so long' },
    logs: { key: 'logsMs', ...kept, meaning: 'output of tasks, counted from its last line: so long' },
    max_log_bytes: {
      key: 'maxLogBytes',
      schema: size(1, 2 ** 52),
      show: same,
      meaning: 'output on each node: so much',
    },
  },
});

const policy: z.ZodType<Scheduling['policy']> = z
  .unknown()
  .transform((value, context): Scheduling['policy'] => {
    const known = SCHEDULING_POLICIES.find((name) => name === value);
    if (known !== undefined) return known;
    const meant = typeof value === 'string' ? closest(value, SCHEDULING_POLICIES) : null;
    const hint = meant === null ? '' : `; did you mean ${meant}?`;
    refuse(context, value, `${show(value)} is no policy; allowed: ${SCHEDULING_POLICIES.join(', ')}${hint}`);
    return z.NEVER;
  })
  .meta({ enum: [...SCHEDULING_POLICIES] });

export const scheduling = new SettingsBlock<Scheduling>('scheduling', {
  fields: {
    policy: {
      key: 'policy',
      schema: policy,
      show: same,
      meaning: 'whether tasks go where most is free, or where least is',
    },
  },
});

/** Null is the default, as it is for every setting. */
function given<Value>(schema: z.ZodType<Value | null | undefined>): z.ZodType<Value> {
  return schema as z.ZodType<Value>;
}

export const retryPolicy = new SettingsBlock<RetryPolicy>('retry_policy', {
  fields: {
    max_attempts: {
      key: 'maxAttempts',
      schema: given(retryFields.max_attempts),
      show: same,
      meaning: 'executions in all',
    },
    backoff_strategy: {
      key: 'backoffStrategy',
      schema: given(retryFields.backoff_strategy),
      show: same,
      meaning: 'whether each pause is longer than the one before',
    },
    backoff_base: {
      key: 'backoffBase',
      schema: given(retryFields.backoff_base),
      show: same,
      meaning: 'seconds; exponential: its k-th power before retry k',
    },
    max_backoff: {
      key: 'maxBackoff',
      schema: given(retryFields.max_backoff),
      show: same,
      meaning: 'seconds; no pause is longer',
    },
    retryable_errors: {
      key: 'retryableErrors',
      schema: given<readonly string[]>(retryFields.retryable_errors),
      show: same,
      meaning: 'types of errors that are worth another try; so are those in neither list',
    },
    non_retryable_errors: {
      key: 'nonRetryableErrors',
      schema: given<readonly string[]>(retryFields.non_retryable_errors),
      show: same,
      meaning: 'types of errors that end a task at once',
    },
  },
});
