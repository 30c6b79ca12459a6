/** The fields of a task that say where and when it may run: each a zod type that reports every fault of its value. */
import { z } from 'zod';

import { NAME_PATTERN } from '../lib/names.ts';
import { LABEL_OPERATORS, PLACE_KEYS } from '../model/placement.ts';
import type { AntiRule, LabelRule, Near, PlaceKey } from '../model/placement.ts';
import { faultsOf, show } from './faults.ts';
import { labels, name, refuse, text, wholeNumber } from './fields.ts';

const MAX_RULES = 32;
const MAX_VALUES = 64;
const MAX_VALUE_CHARACTERS = 256;
const MAX_NEAR = 16;
const MAX_WEIGHT = 100;
const DEFAULT_WEIGHT = 50;
const MAX_CONCURRENCY = 1_000_000;
/** RFC 3339, as far as people write it. */
const TIME_PATTERN = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;

/** Milliseconds since 1970 UTC. */
export const notBefore = z
  .unknown()
  .transform((value, context): number => {
    const atMs = typeof value === 'string' && TIME_PATTERN.test(value) ? Date.parse(value) : Number.NaN;
    if (!Number.isNaN(atMs) && atMs >= 0 && isCalendarDay(value as string)) return atMs;
    refuse(
      context,
      value,
      `${show(value)} is not allowed: a time such as 2026-12-01T00:00:00Z, from 1970 on`,
    );
    return z.NEVER;
  })
  .meta({ type: 'string', pattern: TIME_PATTERN.source.replace('Z', '[Zz]').replaceAll('T', '[Tt]') });

/** `Date.parse` takes the 30th of February for a day in March. */
function isCalendarDay(time: string): boolean {
  const day = time.slice(0, 10);
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

export const concurrencyFields = { key: name, max: wholeNumber(1, MAX_CONCURRENCY) };

export const concurrency = z.strictObject(concurrencyFields);

const labelValue = z
  .unknown()
  .transform((value, context): string => {
    const given = text(context, value, []);
    if (given.length > MAX_VALUE_CHARACTERS)
      refuse(context, value, `${show(given)} is too long: at most ${MAX_VALUE_CHARACTERS} characters`);
    return given;
  })
  .meta({ type: 'string', maxLength: MAX_VALUE_CHARACTERS });

export const labelRuleFields = {
  key: name,
  operator: z.enum(LABEL_OPERATORS),
  values: z.array(labelValue).max(MAX_VALUES).nullish(),
};

/** Zero would say nothing. */
const weight = z
  .unknown()
  .transform((value, context): number => {
    const isWeight = typeof value === 'number' && Number.isInteger(value) && value !== 0;
    if (isWeight && Math.abs(value) <= MAX_WEIGHT) return value;
    const allowed = `an integer from -${MAX_WEIGHT} to ${MAX_WEIGHT}, but not 0`;
    refuse(context, value, `${show(value)} is not allowed: ${allowed}`);
    return z.NEVER;
  })
  .meta({ type: 'integer', minimum: -MAX_WEIGHT, maximum: MAX_WEIGHT, not: { const: 0 } });

export const weightedRuleFields = { ...labelRuleFields, weight: weight.nullish() };

type RawRule = z.output<z.ZodObject<typeof labelRuleFields>>;

function asRule({ key, operator, values }: RawRule): LabelRule {
  return { key, operator, values: values ?? [] };
}

function checkValues(rule: RawRule, context: z.core.$RefinementCtx): void {
  const takesValues = rule.operator === 'in' || rule.operator === 'not_in';
  const count = rule.values?.length ?? 0;
  if (takesValues && count === 0)
    refuse(context, rule, `is required: ${rule.operator} takes at least one value`, ['values']);
  if (!takesValues && count > 0)
    refuse(context, rule, `is not allowed: ${rule.operator} takes no values`, ['values']);
}

const requiredRule = z.strictObject(labelRuleFields).transform((rule, context): LabelRule => {
  checkValues(rule, context);
  return asRule(rule);
});

const preferredRule = z.strictObject(weightedRuleFields).transform((rule, context) => {
  checkValues(rule, context);
  return { ...asRule(rule), weight: rule.weight ?? DEFAULT_WEIGHT };
});

export const antiFields = { batch: z.enum(['self']).nullish(), labels: labels.nullish() };

const antiRule = z.strictObject(antiFields).transform((rule, context): AntiRule => {
  const wanted = rule.labels ?? [];
  const hasBatch = rule.batch === 'self';
  if (hasBatch === wanted.length > 0)
    refuse(context, rule, 'is not allowed: either batch: self, or at least one label');
  return hasBatch ? { batch: 'self', labels: null } : { batch: null, labels: wanted };
});

export const affinityFields = {
  required: z.array(requiredRule).max(MAX_RULES).nullish(),
  preferred: z.array(preferredRule).max(MAX_RULES).nullish(),
  anti: z.array(antiRule).max(MAX_RULES).nullish(),
};

export const affinity = z.strictObject(affinityFields).transform(({ required, preferred, anti }) => ({
  required: required ?? [],
  preferred: preferred ?? [],
  anti: anti ?? [],
}));

const nearFields = { task: name };
const NEAR = { '': { fields: Object.keys(nearFields), unsupported: [] } };

/** `zone=a`, or an object that names a task. */
const near = z
  .unknown()
  .transform((value, context): Near => {
    if (typeof value === 'string') return nearPlace(value, context);
    const parsed = z.strictObject(nearFields).safeParse(value, { reportInput: true });
    if (parsed.success) return { place: null, task: parsed.data.task };
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const { path, message } of faultsOf(parsed.error, NEAR)) refuse(context, value, message, path);
    } else refuse(context, value, `${show(value)} is not allowed: a place such as zone=a, or {task: name}`);
    return z.NEVER;
  })
  .meta({
    anyOf: [
      { type: 'string', pattern: `^(${PLACE_KEYS.join('|')})=.+` },
      {
        type: 'object',
        properties: { task: { type: 'string', pattern: NAME_PATTERN.source } },
        required: ['task'],
        additionalProperties: false,
      },
    ],
  });

function nearPlace(given: string, context: z.core.$RefinementCtx): Near {
  const at = given.indexOf('=');
  const [key, value] = [given.slice(0, Math.max(at, 0)), given.slice(at + 1)];
  const isPlace = at > 0 && (PLACE_KEYS as readonly string[]).includes(key);
  const isValue = value !== '' && value.length <= MAX_VALUE_CHARACTERS && !value.includes('\0');
  if (isPlace && isValue && value.isWellFormed() && (key !== 'node' || NAME_PATTERN.test(value)))
    return { place: { key: key as PlaceKey, value }, task: null };
  const allowed = `key=value, the key one of ${PLACE_KEYS.join(', ')}`;
  refuse(context, given, `${show(given)} is not allowed: ${allowed}`);
  return z.NEVER;
}

export const localityFields = { near: z.array(near).max(MAX_NEAR) };

export const locality = z.strictObject(localityFields);
