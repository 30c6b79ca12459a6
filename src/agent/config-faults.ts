/** What is said of settings that are not as they should be. */
import type { z } from 'zod';

import { JarvisError, type Fault } from '../lib/errors.ts';
import { CONFIG_KEYS, type RawConfig } from './config-schema.ts';
import { policyKeysAt } from './policy-config.ts';

export function invalidConfig(faults: readonly Fault[]): JarvisError {
  const lines = faults.map(({ path: where, message }) => `${where}: ${message}`);
  return new JarvisError('invalid', lines.join('; '), { faults });
}

export function faultsOf(issue: z.core.$ZodIssue, raw: RawConfig): readonly Fault[] {
  const where = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const allowed = where === '' ? CONFIG_KEYS.join(', ') : (policyKeysAt(where) ?? '');
    return issue.keys.map((key) => ({
      path: where === '' ? key : `${where}.${key}`,
      message: `is not a setting; allowed: ${allowed}`,
    }));
  }
  const given = issue.path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    raw,
  );
  if (given === undefined) return [{ path: where, message: 'is required' }];
  const value = JSON.stringify(given);
  // A parser of quantities names the value itself.
  return [
    {
      path: where,
      message: issue.message.includes(value) ? issue.message : `${value} ${messageOfIssue(issue)}`,
    },
  ];
}

/** A union says only that no branch fits: the text's own branch knows what is wrong with a text. */
function messageOfIssue(issue: z.core.$ZodIssue): string {
  const cause =
    issue.code === 'invalid_union' ? issue.errors.flat().find(({ code }) => code === 'custom') : undefined;
  return cause?.message ?? issue.message;
}
