/** The single fields of a task: each a zod type that reports every fault of its value, with its place in it. */
import { z } from 'zod';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { NAME_PATTERN } from '../lib/names.ts';
import { isPlainObject } from '../lib/plain-object.ts';
import type { Pairs } from '../model/task.ts';
import type { FaultPath } from './faults.ts';
import { show } from './faults.ts';

/** Of `NAME_PATTERN`, behind what is no name. */
export const NAME_RULE = 'a letter or digit, then at most 127 letters, digits, dots, underscores and hyphens';
const ENV_NAME_PATTERN = /^[A-Za-z_.-][A-Za-z0-9_.-]*$/;

// oxlint-disable-next-line no-control-regex -- what is looked for
const CONTROL_PATTERN = /[\u0000-\u001f\u007f-\u009f]/;

export const MAX_TEXT_BYTES = 1024 * 1024;
export const MAX_PATH_BYTES = 4096;
const MAX_LABEL_VALUE = 256;

/** Where zod collects what is wrong with a value. */
interface Context {
  readonly issues: z.core.$ZodRawIssue[];
}

export function refuse(context: Context, input: unknown, message: string, path: FaultPath = []): void {
  context.issues.push({ code: 'custom', input, message, path: [...path] });
}

export const name = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string' && NAME_PATTERN.test(value)) return value;
    refuse(context, value, `${show(value)} is not a name: ${NAME_RULE}`);
    return z.NEVER;
  })
  .meta({ type: 'string', pattern: NAME_PATTERN.source });

/** Both included. One fault for one value: what is too large is not told to be no safe integer as well. */
export function wholeNumber(least: number, most: number): z.ZodNumber {
  return z.number().min(least, { abort: true }).max(most, { abort: true }).int();
}

/** Whether it may be absent or empty depends on the image (`container-rules.ts`). */
export const command = z
  .unknown()
  .transform((value, context): readonly string[] => {
    if (!Array.isArray(value)) {
      refuse(context, value, `must be a list of the program and its arguments, not ${show(value)}`);
      return z.NEVER;
    }
    const words = value.map((word: unknown, index) => text(context, word, [index]));
    if (value[0] === '') refuse(context, value, 'the program must not be empty', [0]);
    const bytes = words.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
    if (bytes > MAX_TEXT_BYTES) refuse(context, value, `${bytes} bytes are too much: 1 MiB in all`);
    return words;
  })
  .meta({ type: 'array', items: { type: 'string' } });

/** A string without NUL, which no program could be given. */
export function text(context: Context, value: unknown, path: FaultPath): string {
  if (typeof value !== 'string') {
    refuse(context, value, `must be a string, not ${show(value)}${quoteHint(value)}`, path);
    return '';
  }
  if (value.includes('\0')) refuse(context, value, 'must not contain a NUL character', path);
  if (!value.isWellFormed()) refuse(context, value, 'must be valid Unicode', path);
  return value;
}

function quoteHint(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? `: quote it, "${value}"` : '';
}

export interface EnvironmentField {
  readonly pairs: Pairs;
  /** Of those, the names whose values nobody is to see; sorted. */
  readonly sensitive: readonly string[];
}

const ENV_RULE = 'letters, digits, underscores, dots and hyphens, not beginning with a digit';

export const env = z
  .unknown()
  .transform((value, context): EnvironmentField => {
    if (!isPlainObject(value)) {
      refuse(context, value, `must map names to strings, not ${show(value)}`);
      return z.NEVER;
    }
    let bytes = 0;
    const sensitive: string[] = [];
    const pairs = Object.entries(value).map(([key, entry]): [string, string] => {
      if (!ENV_NAME_PATTERN.test(key) || key === '__proto__')
        refuse(context, value, `${show(key)} is not a name of a variable: ${ENV_RULE}`, [key]);
      const given = isPlainObject(entry) ? describedValue(context, entry, key) : null;
      if (given?.isSensitive === true) sensitive.push(key);
      const textValue = given === null ? text(context, entry, [key]) : given.value;
      bytes += Buffer.byteLength(key) + Buffer.byteLength(textValue) + 2;
      return [key, textValue];
    });
    if (bytes > MAX_TEXT_BYTES) refuse(context, value, `${bytes} bytes are too much: 1 MiB in all`);
    return { pairs: sorted(pairs), sensitive: sensitive.sort() };
  })
  .meta({
    type: 'object',
    propertyNames: { pattern: ENV_NAME_PATTERN.source },
    additionalProperties: {
      anyOf: [
        { type: 'string' },
        {
          type: 'object',
          properties: { value: { type: 'string' }, sensitive: { type: 'boolean' } },
          required: ['value'],
          additionalProperties: false,
        },
      ],
    },
  });

/** `{value, sensitive}`. No message repeats the value: it is likely to be meant as a secret, whatever is wrong with it. */
function describedValue(
  context: Context,
  entry: Readonly<Record<string, unknown>>,
  key: string,
): { readonly value: string; readonly isSensitive: boolean } {
  const { value, sensitive = false, ...others } = entry;
  for (const other of Object.keys(others))
    refuse(context, null, `unknown field ${show(other)} (known: value, sensitive)`, [key, other]);
  if (typeof sensitive !== 'boolean') refuse(context, null, 'must be true or false', [key, 'sensitive']);
  if (value === undefined) {
    const hint =
      'the values of sensitive variables are never shown, so what was printed has to be given them again';
    refuse(context, null, sensitive === true ? `is required: ${hint}` : 'is required', [key, 'value']);
  } else if (typeof value !== 'string') refuse(context, null, 'must be a string', [key, 'value']);
  else {
    text(context, value, [key, 'value']);
    return { value, isSensitive: sensitive === true };
  }
  return { value: '', isSensitive: false };
}

export const labels = z
  .unknown()
  .transform((value, context): Pairs => sorted(labelPairs(context, value, labelText)))
  .meta({
    type: 'object',
    maxProperties: limits.labels,
    propertyNames: { pattern: NAME_PATTERN.source },
    additionalProperties: { type: 'string', maxLength: MAX_LABEL_VALUE },
  });

/** Null takes a label away. */
export const labelChanges = z
  .unknown()
  .transform((value, context) =>
    sorted(
      labelPairs(context, value, (inner, entry, key) =>
        entry === null ? null : labelText(inner, entry, key),
      ),
    ),
  );

function labelPairs<Value>(
  context: Context,
  value: unknown,
  valueOf: (context: Context, entry: unknown, key: string) => Value,
): readonly (readonly [key: string, value: Value])[] {
  if (!isPlainObject(value)) {
    refuse(context, value, `must map names to strings, not ${show(value)}`);
    return [];
  }
  const entries = Object.entries(value);
  if (entries.length > limits.labels)
    refuse(context, value, `${entries.length} labels are too many: at most ${limits.labels}`);
  return entries.map(([key, entry]) => {
    if (!NAME_PATTERN.test(key)) refuse(context, value, `${show(key)} is not a name: ${NAME_RULE}`, [key]);
    return [key, valueOf(context, entry, key)];
  });
}

function labelText(context: Context, entry: unknown, key: string): string {
  const textValue = text(context, entry, [key]);
  if (textValue.length > MAX_LABEL_VALUE)
    refuse(context, entry, `${show(textValue)} is too long: at most ${MAX_LABEL_VALUE} characters`, [key]);
  if (CONTROL_PATTERN.test(textValue))
    refuse(context, entry, `${show(textValue)} must not contain control characters`, [key]);
  return textValue;
}

/** By UTF-16 code units, which every replica and every locale orders alike. */
function sorted<Value>(
  pairs: readonly (readonly [string, Value])[],
): readonly (readonly [key: string, value: Value])[] {
  return [...pairs].sort(([left], [right]) => (left < right ? -1 : Number(left > right)));
}

export const workingDir = z
  .unknown()
  .transform((value, context): string => {
    const path = text(context, value, []);
    if (typeof value === 'string' && !path.startsWith('/')) {
      refuse(context, value, `${show(value)} is not allowed: an absolute path`);
    }
    if (Buffer.byteLength(path) > MAX_PATH_BYTES)
      refuse(context, value, `is too long: at most ${MAX_PATH_BYTES} bytes`);
    return path;
  })
  .meta({ type: 'string', pattern: '^/', maxLength: MAX_PATH_BYTES });

/** What a JSON Schema says of a field that zod cannot know: it is read by code of its own. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export const DURATION_SCHEMA: JsonSchema = {
  anyOf: [
    { type: 'number', minimum: 0 },
    { type: 'string', pattern: '^(\\d+(\\.\\d+)?|(\\d+(\\.\\d+)?(ms|s|m|h|d))+)$' },
  ],
};
export const SIZE_SCHEMA: JsonSchema = {
  anyOf: [
    { type: 'number', exclusiveMinimum: 0 },
    { type: 'string', pattern: '^\\d+(\\.\\d+)?([kMGTP]|[KMGTP]i)?$' },
  ],
};
export const CPU_SCHEMA: JsonSchema = {
  anyOf: [
    { type: 'number', exclusiveMinimum: 0 },
    { type: 'string', pattern: '^\\d+(\\.\\d+)?m?$' },
  ],
};

/** A number, or a string with a unit, as `parse` reads it. */
export function quantity(options: {
  /** @throws JarvisError invalid for what is no such quantity */
  readonly parse: (value: string | number) => number;
  readonly allowed: string;
  readonly minimum: number;
  readonly maximum: number;
  readonly jsonSchema: JsonSchema;
}): z.ZodType<number> {
  return z
    .unknown()
    .transform((value, context): number => {
      const parsed =
        typeof value === 'string' || typeof value === 'number' ? tryParse(options.parse, value) : null;
      if (parsed !== null && parsed >= options.minimum && parsed <= options.maximum) return parsed;
      refuse(context, value, `${show(value)} is not allowed: ${options.allowed}`);
      return z.NEVER;
    })
    .meta({ ...options.jsonSchema, description: options.allowed });
}

function tryParse(parse: (value: string | number) => number, value: string | number): number | null {
  try {
    return parse(value);
  } catch (error) {
    if (error instanceof JarvisError && error.code === 'invalid') return null;
    throw error;
  }
}
