/** What operators say of a node (`POST /nodes/{name}/drain`, `PATCH /nodes/{name}`), checked at the edge. */
import { z } from 'zod';

import { messageOf } from '../lib/errors.ts';
import { LOG_LEVELS, type LogLevelName } from '../lib/log.ts';
import { formatDurationMs, parseDurationMs } from '../lib/quantities.ts';
import type { LabelChanges } from '../model/node.ts';
import { faultsOf, formatPath, invalidInput, show } from './faults.ts';
import type { KnownFields } from './faults.ts';
import { labelChanges, refuse } from './fields.ts';

const DEFAULT_DRAIN_MS = 3_600_000;
/** Longer than that nobody waits for a node. */
const MOST_DRAIN_MS = 30 * 24 * 3_600_000;
const MOST_GRACE_MS = 3_600_000;
/** A level that nobody remembers fills disks. */
const MOST_LOGGED_MS = 24 * 3_600_000;

interface DrainChange {
  readonly withinMs: number;
  /** Null: each task's own. */
  readonly graceMs: number | null;
}

const drainFields = {
  deadline: durationUpTo(MOST_DRAIN_MS).nullish(),
  grace: durationUpTo(MOST_GRACE_MS).nullish(),
};
const drainSchema = z.strictObject(drainFields);
const logLevelFields = {
  level: z.enum(LOG_LEVELS),
  for: durationUpTo(MOST_LOGGED_MS).nullish(),
};
const logLevelSchema = z.strictObject(logLevelFields);
const labelFields = { labels: labelChanges };
const labelSchema = z.strictObject(labelFields);

/** @param plain absent: everything is as by default @throws JarvisError invalid, with every fault */
export function parseDrain(plain: unknown): DrainChange {
  const { deadline, grace } = checked(drainSchema, plain ?? {}, Object.keys(drainFields));
  return { withinMs: deadline ?? DEFAULT_DRAIN_MS, graceMs: grace ?? null };
}

/** @returns `forMs` null: not said @throws JarvisError invalid, with every fault */
export function parseLogLevel(plain: unknown): {
  readonly level: LogLevelName;
  readonly forMs: number | null;
} {
  const { level, for: forMs } = checked(logLevelSchema, plain, Object.keys(logLevelFields));
  return { level, forMs: forMs ?? null };
}

/** @throws JarvisError invalid, with every fault; also where nothing is to be changed */
export function parseNodeUpdate(plain: unknown): LabelChanges {
  const { labels } = checked(labelSchema, plain, Object.keys(labelFields));
  if (labels.length === 0) {
    const message = 'nothing is to be changed: labels with at least one name, whose value is a text, or null';
    throw invalidInput([{ path: 'labels', message }]);
  }
  return labels;
}

function durationUpTo(mostMs: number) {
  return z.unknown().transform((value, context): number => {
    const refused = (message: string): never => {
      refuse(context, value, message);
      return z.NEVER;
    };
    if (typeof value !== 'string' && typeof value !== 'number')
      return refused(`must be seconds or a duration such as 30m, not ${show(value)}`);
    let durationMs: number;
    try {
      durationMs = parseDurationMs(value);
    } catch (error) {
      return refused(messageOf(error));
    }
    if (durationMs <= mostMs) return durationMs;
    return refused(`${show(value)} is too long: at most ${formatDurationMs(mostMs)}`);
  });
}

function checked<T>(schema: z.ZodType<T>, plain: unknown, fields: readonly string[]): T {
  const known: Readonly<Record<string, KnownFields>> = { '': { fields, unsupported: [] } };
  const result = schema.safeParse(plain, { reportInput: true });
  if (result.success) return result.data;
  const faults = faultsOf(result.error, known);
  throw invalidInput(faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}
