/** Values of settings as flags, variables and YAML give them. */
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { formatDurationMs, parseDurationMs } from '../lib/quantities.ts';

export const text = z.union([z.string(), z.number()], { error: 'is not a text' }).transform(String);

export const PATH = 'a path';
export const pathText = z.string('is not a path').min(1, 'is not a path').describe(PATH);

/** A parser that reports its JarvisError as a fault of the field. @param allowed what it takes, for people */
export function parsed<T>(parse: (value: string) => T, allowed: string) {
  return text
    .transform((value, context) => {
      try {
        return parse(value);
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) });
        return z.NEVER;
      }
    })
    .describe(allowed);
}

/** A duration, in milliseconds. @param nothing what 0 means */
export function durationUpTo(mostMs: number, nothing: string) {
  const bounds = `0 (${nothing}) to ${formatDurationMs(mostMs)}`;
  const parse = (value: string): number => {
    const durationMs = parseDurationMs(value);
    if (durationMs <= mostMs) return durationMs;
    throw new JarvisError('invalid', `${JSON.stringify(value)} is not allowed: ${bounds}`);
  };
  return parsed(parse, `seconds, or a duration such as 500ms, 10s, 5m or 7d; ${bounds}`);
}

export function wholeNumber(least: number, most: number) {
  const allowed = `a whole number, ${least} to ${most}`;
  const parse = (value: string): number => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw new JarvisError('invalid', `${JSON.stringify(value)} is not allowed: ${allowed}`);
  };
  return parsed(parse, allowed);
}

/** A text that is no YAML stays one: then it is no map, and refused as such. */
export function yamlOfText(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return parseYaml(value, { maxAliasCount: 100, logLevel: 'error' }) as unknown;
  } catch {
    // No YAML: whoever checks the setting names it and what is allowed.
    return value;
  }
}

export function splitPairs(value: string): readonly (readonly [string, string])[] {
  return value
    .split(',')
    .filter((item) => item !== '')
    .map((item): [string, string] => {
      const at = item.indexOf('=');
      return at < 0 ? [item, ''] : [item.slice(0, at), item.slice(at + 1)];
    });
}
