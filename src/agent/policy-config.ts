/**
 * `policy:` of a node's settings: what tasks may use there, and how much of their output and images is kept.
 */
import path from 'node:path';

import { z } from 'zod';

import { messageOf } from '../lib/errors.ts';
import { formatMemoryBytes, parseDurationMs, parseMemoryBytes } from '../lib/quantities.ts';
import type { DockerPolicy } from './drivers/docker/options.ts';
import { DEFAULT_IMAGE_LIMITS } from './drivers/docker/options.ts';
import { DEFAULT_LOG_LIMITS } from './watchdog/limits.ts';

const CAPABILITY = /^(?:CAP_)?([A-Z]+(?:_[A-Z]+)*|ALL)$/;
const USER = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?$/;
const REGISTRY = /^[A-Za-z0-9.[\]:-]{1,255}$/;
const MAX_ENTRIES = 64;
const MAX_LOG_FILES = 1000;
const LEAST_LOG_FILE_BYTES = 64 * 1024;

export const PATH_RULE = 'an absolute path without . or .. and without a slash at its end';

const hostPath = z
  .string('is not a path')
  .refine((value) => path.isAbsolute(value) && path.normalize(value) === value && !isSlashEnded(value), {
    error: `is not ${PATH_RULE}`,
  })
  .describe(PATH_RULE);

function isSlashEnded(value: string): boolean {
  return value.length > 1 && value.endsWith('/');
}

/** A quantity as users write it, a number or a text. @param allowed what it takes, for people */
function quantity(parse: (value: string | number) => number, least: number, allowed: string) {
  return z
    .union([z.string(), z.number()], { error: 'is not a quantity' })
    .transform((value, context) => {
      try {
        const parsed = parse(value);
        if (parsed >= least) return parsed;
        context.addIssue({ code: 'custom', message: `is not allowed: at least ${least}` });
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) });
      }
      return z.NEVER;
    })
    .describe(allowed);
}

const SIZE = 'bytes, or a quantity such as 512Mi or 10Gi';
const DURATION = 'seconds, or a duration such as 10s, 5m or 7d';

const listOf = <T extends z.ZodType>(item: T) =>
  z.array(item, 'is not a list').max(MAX_ENTRIES, `has more than ${MAX_ENTRIES} entries`);

/** A path alone may be written to. */
const mountRule = z.union(
  [
    hostPath.transform((source) => ({ source, readOnly: false })),
    z
      .strictObject({ source: hostPath, read_only: z.boolean('is neither true nor false').default(false) })
      .transform(({ source, read_only: readOnly }) => ({ source, readOnly })),
  ],
  { error: (issue) => (isTextOrMap(issue.input) ? undefined : 'is neither a path nor {source, read_only}') },
);

function isTextOrMap(value: unknown): boolean {
  return typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value));
}

const registries = z
  .record(
    z
      .string()
      .regex(REGISTRY, 'is not the host of a registry, such as docker.io or registry.example.com:5000'),
    z.strictObject({ credentials: hostPath.optional() }, 'is not a map; allowed: credentials').nullable(),
    'is not a map of hosts, such as {registry.example.com: {credentials: /etc/jarvis/registry.json}}',
  )
  .describe('a map of hosts, each to {} or to {credentials: FILE}, an absolute path');

export const policySchema = z
  .strictObject(
    {
      mounts: listOf(mountRule).default([]),
      host_network: z.boolean('is neither true nor false').default(false),
      users: listOf(
        z
          .string()
          .regex(USER, 'is not a user, such as 1000:1000 or worker')
          .describe('users such as 1000:1000 or worker'),
      ).optional(),
      capabilities: listOf(
        z
          .string()
          .regex(CAPABILITY, 'is not a capability, such as NET_BIND_SERVICE')
          .transform((name) => name.replace(/^CAP_/, ''))
          .describe('capabilities such as NET_BIND_SERVICE'),
      ).default([]),
      devices: listOf(hostPath).default([]),
      registries: registries.optional(),
      log_limits: z
        .strictObject({
          max_file_bytes: quantity(
            parseMemoryBytes,
            LEAST_LOG_FILE_BYTES,
            `${SIZE}; at least ${formatMemoryBytes(LEAST_LOG_FILE_BYTES)}`,
          ).default(DEFAULT_LOG_LIMITS.maxFileBytes),
          max_files: z.number().int().min(2).max(MAX_LOG_FILES).default(DEFAULT_LOG_LIMITS.maxFiles),
        })
        .prefault({}),
      image_limits: z
        .strictObject({
          max_age: quantity(parseDurationMs, 0, DURATION).default(DEFAULT_IMAGE_LIMITS.maxAgeMs),
          max_bytes: quantity(parseMemoryBytes, 0, SIZE).default(DEFAULT_IMAGE_LIMITS.maxBytes),
        })
        .prefault({}),
    },
    'is not a map of settings',
  )
  .transform((raw): DockerPolicy => ({
    shared: {
      mounts: raw.mounts,
      hostNetwork: raw.host_network,
      users: raw.users ?? null,
      registries: raw.registries === undefined ? null : Object.keys(raw.registries),
    },
    capabilities: raw.capabilities,
    devices: raw.devices,
    credentialFiles: new Map(
      Object.entries(raw.registries ?? {}).flatMap(([host, settings]) =>
        settings?.credentials === undefined ? [] : [[host, settings.credentials] as const],
      ),
    ),
    logLimits: { maxFileBytes: raw.log_limits.max_file_bytes, maxFiles: raw.log_limits.max_files },
    imageLimits: { maxAgeMs: raw.image_limits.max_age, maxBytes: raw.image_limits.max_bytes },
  }));

const KEYS: readonly (readonly [path: RegExp, allowed: string])[] = [
  [/^policy$/, 'mounts, host_network, users, capabilities, devices, registries, log_limits, image_limits'],
  [/^policy\.mounts\.\d+$/, 'source, read_only'],
  [/^policy\.registries\.[^]+$/, 'credentials'],
  [/^policy\.log_limits$/, 'max_file_bytes, max_files'],
  [/^policy\.image_limits$/, 'max_age, max_bytes'],
];

/** What each says, in a few words of Markdown: docs/configuration.md shows it. */
export const POLICY_MEANINGS: Readonly<Record<string, string>> = {
  mounts: 'host paths that tasks may mount, with what lies below them',
  host_network: 'whether tasks may use `network: host`',
  users: 'the only users that tasks may name, and with an image must; default: any',
  capabilities: 'given to every container; all others are taken away',
  devices: 'devices of the host that every container is given',
  registries:
    'the only registries that images may come from, with the file of user name and password; default: any',
  'log_limits.max_file_bytes': 'output of an attempt is kept in files of this size',
  'log_limits.max_files': 'and so many of them; of more the oldest goes',
  'image_limits.max_age': 'images that Jarvis has pulled and nothing has used for so long are removed',
  'image_limits.max_bytes': 'and so are the longest unused, where all of them are larger',
};

/** What may stand in the map at this path, for messages; null: it is none of the policy's. */
export function policyKeysAt(where: string): string | null {
  return KEYS.find(([path]) => path.test(where))?.[1] ?? null;
}
