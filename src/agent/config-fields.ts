/** Values of settings as flags, variables and YAML give them. */
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

import { messageOf } from '../lib/errors.ts';

export const text = z.union([z.string(), z.number()], { error: 'is not a text' }).transform(String);
/** A parser that reports its JarvisError as a fault of the field. */
export function parsed<T>(parse: (value: string) => T) {
  return text.transform((value, context) => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) });
      return z.NEVER;
    }
  });
}

/** A text that is no YAML stays one: then it is no map, and refused as such. */
export function yamlOfText(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return parseYaml(value, { maxAliasCount: 100 }) as unknown;
  } catch {
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
