/** The kinds of values that settings have. */
import { z } from 'zod';

import {
  formatDurationMs,
  formatMemoryBytes,
  parseDurationMs,
  parseMemoryBytes,
} from '../../lib/quantities.ts';
import { show } from '../faults.ts';
import { DURATION_SCHEMA, SIZE_SCHEMA, quantity, refuse, text } from '../fields.ts';

/** Milliseconds, of seconds or `5m`. Both bounds are included. */
export function duration(minimum: number, maximum: number): z.ZodType<number> {
  return quantity({
    parse: parseDurationMs,
    allowed: `seconds, or a duration such as 500ms, 10s, 5m or 7d; ${formatDurationMs(minimum)} to ${formatDurationMs(maximum)}`,
    minimum,
    maximum,
    jsonSchema: DURATION_SCHEMA,
  });
}

/** Bytes, of a number or `10Gi`. */
export function size(minimum: number, maximum: number): z.ZodType<number> {
  return quantity({
    parse: parseMemoryBytes,
    allowed: `bytes, or a quantity such as 512Mi or 10Gi; ${formatMemoryBytes(minimum)} to ${formatMemoryBytes(maximum)}`,
    minimum,
    maximum,
    jsonSchema: SIZE_SCHEMA,
  });
}

/** A whole number; as a text too, for variables hold nothing else. */
export function count(minimum: number, maximum: number): z.ZodType<number> {
  return quantity({
    parse: (value) => (/^\d+$/.test(String(value)) ? Number(value) : Number.NaN),
    allowed: `a whole number, ${minimum} to ${maximum}`,
    minimum,
    maximum,
    jsonSchema: {
      anyOf: [
        { type: 'integer', minimum, maximum },
        { type: 'string', pattern: '^\\d+$' },
      ],
    },
  });
}

export const flag: z.ZodType<boolean> = z
  .unknown()
  .transform((value, context): boolean => {
    if (typeof value === 'boolean') return value;
    if (value === 'true' || value === 'false') return value === 'true';
    refuse(context, value, `${show(value)} is neither true nor false`);
    return z.NEVER;
  })
  .meta({ anyOf: [{ type: 'boolean' }, { enum: ['true', 'false'] }] });

/** A text without control characters. */
export function line(maximum: number): z.ZodType<string> {
  return z
    .unknown()
    .transform((value, context): string => {
      if (value === undefined || value === null) {
        refuse(context, value, 'is required');
        return '';
      }
      const given = text(context, value, []);
      if (typeof value !== 'string') return '';
      // eslint-disable-next-line no-control-regex -- what is looked for
      if (/[\u0000-\u001f\u007f]/.test(given))
        refuse(context, value, `${show(given)} must not contain control characters`);
      if (given === '' || given.length > maximum)
        refuse(context, value, `${given.length} characters are not allowed: 1 to ${maximum}`);
      return given;
    })
    .meta({ type: 'string', minLength: 1, maxLength: maximum });
}

export const seconds = (durationMs: number): number => durationMs / 1000;
/** How a duration is shown. */
export const asSeconds = { show: seconds, isDuration: true } as const;
export const same = (value: unknown): unknown => value;
