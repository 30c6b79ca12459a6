/** The fields of a task that is a container: each a zod type that reports every fault of its value. */
import { z } from 'zod';

import { JarvisError } from '../lib/errors.ts';
import { parseImageReference } from '../lib/image-reference.ts';
import { parseCpuMillis, parseMemoryBytes } from '../lib/quantities.ts';
import { isWithin } from '../lib/paths.ts';
import { NETWORK_MODES, PULL_POLICIES } from '../model/task.ts';
import { show } from './faults.ts';
import { CPU_SCHEMA, MAX_PATH_BYTES, SIZE_SCHEMA, quantity, refuse, text, wholeNumber } from './fields.ts';

const MAX_MOUNTS = 32;
/** Where a driver hands result and error files to the task. */
const RESERVED_TARGET = '/run/jarvis';
/** What the kernel can count at all: its largest `pid_max`. */
const MAX_PIDS = 4_194_304;
/** Engines take no less. */
const MIN_LIMIT_CPU_MILLIS = 10;
const MIN_LIMIT_MEMORY_BYTES = 6 * 1024 * 1024;
const MAX_USER_ID = 2 ** 31 - 1;
const USER_PATTERN = /^(\d{1,10}|[A-Za-z_][\w.-]{0,63})(?::(\d{1,10}|[A-Za-z_][\w.-]{0,63}))?$/;

export const image = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value !== 'string') {
      refuse(context, value, `must be a string such as python:3.9, not ${show(value)}`);
      return z.NEVER;
    }
    try {
      parseImageReference(value);
    } catch (error) {
      if (!(error instanceof JarvisError)) throw error;
      refuse(context, value, `${show(value)} ${error.message}`);
    }
    return value;
  })
  .meta({ type: 'string', minLength: 1 });

/** A number is the uid that it looks like. */
export const user = z
  .unknown()
  .transform((value, context): string => {
    const given = typeof value === 'number' ? String(value) : value;
    const match = typeof given === 'string' ? USER_PATTERN.exec(given) : null;
    if (typeof given === 'string' && match !== null && match.slice(1).every(isUserOrId)) return given;
    const allowed = `name, uid, or either with :group or :gid, such as 1000:1000; ids up to ${MAX_USER_ID}`;
    refuse(context, value, `${show(value)} is not allowed: ${allowed}`);
    return z.NEVER;
  })
  .meta({
    anyOf: [
      { type: 'integer', minimum: 0, maximum: MAX_USER_ID },
      { type: 'string', pattern: USER_PATTERN.source },
    ],
  });

/** What is only digits is an id, and ids are bounded. */
function isUserOrId(part: string | undefined): boolean {
  return part === undefined || !/^\d+$/.test(part) || Number(part) <= MAX_USER_ID;
}

/** Absolute, and the only way to write it: what policies compare must mean one place. */
const mountPath = z
  .unknown()
  .transform((value, context): string => {
    const path = text(context, value, []);
    if (typeof value !== 'string') return path;
    const isNormal = path === '/' || /^(\/[^/]+)+$/.test(path);
    const hasDots = path.split('/').some((segment) => segment === '.' || segment === '..');
    if (!isNormal || hasDots || path.includes(':')) {
      const allowed = 'an absolute path without ".", ".." and empty parts, colons and a slash at its end';
      refuse(context, value, `${show(value)} is not allowed: ${allowed}`);
    }
    if (Buffer.byteLength(path) > MAX_PATH_BYTES)
      refuse(context, value, `is too long: at most ${MAX_PATH_BYTES} bytes`);
    return path;
  })
  .meta({ type: 'string', pattern: '^(/|(/[^/:]+)+)$', maxLength: MAX_PATH_BYTES });

const mountTarget = mountPath.transform((target, context): string => {
  if (target === '/') refuse(context, target, '"/" is not allowed: a path below it');
  if (isWithin(target, RESERVED_TARGET))
    refuse(context, target, `${show(target)} is not allowed: ${RESERVED_TARGET} is reserved, another path`);
  return target;
});

export const mountFields = { source: mountPath, target: mountTarget, read_only: z.boolean().nullish() };

export const mounts = z
  .array(z.strictObject(mountFields))
  .max(MAX_MOUNTS)
  .transform((list, context) => {
    const targets = new Set<string>();
    for (const [index, { target }] of list.entries()) {
      if (targets.has(target))
        refuse(context, target, `${show(target)} is the target of an earlier mount: each only once`, [
          index,
          'target',
        ]);
      targets.add(target);
    }
    return list;
  });

export const network = z.enum(NETWORK_MODES);
export const pullPolicy = z.enum(PULL_POLICIES);

export const limitFields = {
  cpu: quantity({
    parse: parseCpuMillis,
    allowed: 'cores such as 2 or 0.5, or thousandths such as 500m; at least 10m',
    minimum: MIN_LIMIT_CPU_MILLIS,
    maximum: 1_000_000_000,
    jsonSchema: CPU_SCHEMA,
  }).nullish(),
  memory: quantity({
    parse: parseMemoryBytes,
    allowed: 'bytes, or a quantity such as 512Mi or 2G; at least 6Mi',
    minimum: MIN_LIMIT_MEMORY_BYTES,
    maximum: 2 ** 52,
    jsonSchema: SIZE_SCHEMA,
  }).nullish(),
  pids: wholeNumber(1, MAX_PIDS).nullish(),
};
