/** What can be told to a node at its start, by key, and what each value may look like. */
import { z } from 'zod';

import { splitAddress } from '../lib/address.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { LOG_LEVELS } from '../lib/log.ts';
import { isName, NAME_RULE } from '../lib/names.ts';
import { formatMemoryBytes, parseBytesPerSecond } from '../lib/quantities.ts';
import { clusterFields } from './cluster-config.ts';
import {
  PATH,
  durationUpTo,
  parsed,
  pathText,
  splitPairs,
  text,
  wholeNumber,
  yamlOfText,
} from './config-fields.ts';
import { policySchema } from './policy-config.ts';
import { tlsFields } from './tls-config.ts';

export const DRIVER_NAMES = ['process', 'docker', 'noop'] as const;
/** An upgrade with a start that takes its time (docs/contract.md, section 1). */
const DEFAULT_RESTART_GRACE_MS = 120_000;
/** Longer than most tasks take, shorter than whoever stops a machine waits. */
const DEFAULT_DRAIN_DEADLINE_MS = 600_000;
const MOST_DRAIN_DEADLINE_MS = 24 * 3_600_000;
const RESOURCES = 'cpu=4,memory=8Gi, or a map; each may be absent';
export type DriverChoice = (typeof DRIVER_NAMES)[number];

/** Values as they come, by key of the file; flags and variables have the same keys. */
export type RawConfig = Readonly<Record<string, unknown>>;

const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')], {
  error: 'is neither true nor false',
});

const ADDRESS_RULE = 'host:port, such as 127.0.0.1:7101 or [::1]:7101';
const address = parsed(parseAddress, ADDRESS_RULE);

/** `a=1,b=2` or a map. */
const assignments = z.union(
  [
    z.string().transform((value, context) => {
      const pairs = splitPairs(value);
      const twice = pairs.find(([name], at) => pairs.findIndex(([other]) => other === name) < at);
      if (twice === undefined) return Object.fromEntries(pairs);
      context.addIssue({ code: 'custom', message: `names ${JSON.stringify(twice[0])} twice` });
      return z.NEVER;
    }),
    z.record(z.string(), text),
  ],
  // Of a text it is said what is wrong with it; anything else is no list at all.
  {
    error: (issue) =>
      typeof issue.input === 'string' ? undefined : 'is not a list such as a=1,b=2, or a map',
  },
);

/** `host:port,host:port`, or a list of them. */
const addressList = z.union(
  [z.string().transform((value) => value.split(',').map((item) => item.trim())), z.array(z.string())],
  { error: 'is not a list such as host:7101,host:7101' },
);

const driverNames = z.union(
  [z.string().transform((value) => value.split(',').map((name) => name.trim())), z.array(z.string())],
  { error: `is not a list; allowed: ${DRIVER_NAMES.join(', ')}` },
);

/** `a.example,b.example`, or a list of them. */
const hostNames = z.union(
  [z.string().transform((value) => value.split(',').map((item) => item.trim())), z.array(z.string())],
  { error: 'is not a list such as n1.example,jarvis.example' },
);

export const rawSchema = z.strictObject({
  name: text.pipe(z.string().refine(isName, `is not ${NAME_RULE}`)).describe(NAME_RULE),
  data_dir: pathText,
  listen: address,
  advertise: address.optional(),
  http: address,
  peers: assignments.describe('n1=host:port,n2=host:port, or a map').default({}),
  join: addressList.describe('host:port,host:port, or a list').optional(),
  // Looked at later: what is said of a value here would show it.
  join_token: z.unknown().describe('a join token').optional(),
  join_token_file: z.unknown().describe(PATH).optional(),
  labels: assignments
    .describe(`a=1,b=2, or a map; ${NAME_RULE}; values of at most 256 characters`)
    .default({}),
  capacity: assignments.describe(RESOURCES).default({}),
  reserve: assignments.describe(RESOURCES).default({}),
  drivers: driverNames.describe(`${DRIVER_NAMES.join(', ')}; several with commas, or a list`).optional(),
  // A map in the file; YAML in a variable.
  policy: z.preprocess(yamlOfText, policySchema).prefault({}),
  lease_reads: flag.default(false),
  snapshot_rate: parsed(
    (value) => parseBytesPerSecond(value, limits.snapshotLeastBytesPerSecond),
    `bytes per second such as 64MB/s or 1Gi; at least ${formatMemoryBytes(limits.snapshotLeastBytesPerSecond)}`,
  ).default(limits.snapshotBytesPerSecond),
  restart_grace: durationUpTo(limits.restartGraceMs, 'none').default(DEFAULT_RESTART_GRACE_MS),
  drain_on_exit: flag.default(false),
  drain_deadline: durationUpTo(MOST_DRAIN_DEADLINE_MS, 'at once').default(DEFAULT_DRAIN_DEADLINE_MS),
  auth: flag.default(false),
  http_hosts: hostNames.describe('names with commas, or a list').default([]),
  http_rate: wholeNumber(1, limits.httpMostRate).default(limits.httpRate),
  insecure: flag.default(false),
  ...tlsFields,
  tls_ca_key: pathText.optional(),
  kill_tasks_on_exit: flag.default(false),
  log_level: z
    .enum(LOG_LEVELS, { error: `is not a level; allowed: ${LOG_LEVELS.join(', ')}` })
    .default('info'),
  ...clusterFields,
});

export const CONFIG_KEYS = Object.keys(rawSchema.shape);

/** Checks `host:port`; [::1]:7101 for IPv6. @throws JarvisError invalid */
export function parseAddress(value: string): string {
  try {
    splitAddress(value);
  } catch (error) {
    throw new JarvisError('invalid', `is not ${ADDRESS_RULE}`, { cause: error });
  }
  return value;
}
