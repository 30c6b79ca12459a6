/** Turns what zod finds into faults as users read them: where, what was given, what is allowed. */
import type { z } from 'zod';

import type { Fault } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { quoted } from '../lib/quoted.ts';
import { closest } from './suggest.ts';

export type FaultPath = readonly (string | number)[];

/** A fault whose place can still be looked up in the document that it came from. */
export interface LocatedFault {
  readonly path: FaultPath;
  readonly message: string;
}

/** What may stand at a path, for messages about what may not; paths as {@link formatPath} writes them, without indexes. */
export interface KnownFields {
  readonly fields: readonly string[];
  /** Part of the contract, but not of this version. */
  readonly unsupported: readonly string[];
}

const MAX_FAULTS = 50;
const MAX_SHOWN_CHARACTERS = 60;

/** `tasks[1].resources.cpu`; a key that is no plain name is quoted: `env["A B"]`. */
export function formatPath(path: FaultPath): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_-]{0,127}$/.test(segment)) text += `[${show(segment)}]`;
    else text += text === '' ? segment : `.${segment}`;
  }
  return text;
}

/**
 * Whether what stands there may be a secret, so that no message repeats it: the value of a variable, whatever is said of it, or
 * the secret of a webhook.
 */
export function isSecretPlace(path: FaultPath): boolean {
  return path.includes('env') || path.at(-1) === 'secret';
}

/** A value as messages quote it: JSON, shortened, without anything that could move a terminal's cursor. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text =
    typeof value === 'string' && value.length > MAX_SHOWN_CHARACTERS
      ? value.slice(0, MAX_SHOWN_CHARACTERS)
      : value;
  const clean = typeof text === 'string' ? quoted(text) : (JSON.stringify(text) ?? typeof text);
  return text === value ? clean : `${clean}…`;
}

/** Every fault in a failed parse (done with `reportInput`), in the order of the document as far as zod keeps it. */
export function faultsOf(error: z.ZodError, known: Readonly<Record<string, KnownFields>>): LocatedFault[] {
  return error.issues.flatMap((issue): LocatedFault[] => {
    const path = issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)));
    if (issue.code === 'unrecognized_keys') {
      const place = formatPath(path.filter((segment) => typeof segment === 'string'));
      const here = known[place] ?? { fields: [], unsupported: [] };
      return issue.keys.map((key) => ({ path: [...path, key], message: unknownField(key, here) }));
    }
    return [{ path, message: messageOfIssue(issue) }];
  });
}

function messageOfIssue(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is required';
      return `must be ${article(issue.expected)}, not ${show(issue.input)}`;
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const meant = typeof issue.input === 'string' ? closest(issue.input, allowed) : null;
      const hint = meant === null ? '' : `; did you mean ${meant}?`;
      return `${show(issue.input)} is not allowed: ${oneOf(allowed)}${hint}`;
    }
    case 'too_small':
      return `${show(issue.input)} is too small: at least ${issue.minimum}`;
    case 'too_big':
      return `${show(issue.input)} is too large: at most ${issue.maximum}`;
    default:
      return issue.message;
  }
}

function unknownField(key: string, { fields, unsupported }: KnownFields): string {
  if (unsupported.includes(key)) return 'not supported by this version';
  const meant = closest(key, [...fields, ...unsupported]);
  const hint = meant === null ? '' : `, did you mean ${meant}?`;
  return `unknown field ${show(key)}${hint} (known: ${fields.join(', ')})`;
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `must be ${values[0]}` : `one of ${values.join(', ')}`;
}

function article(expected: string): string {
  switch (expected) {
    case 'array':
      return 'a list';
    case 'int':
      return 'an integer';
    case 'object':
    case 'record':
      return 'an object';
    default:
      return `a ${expected}`;
  }
}

/** @returns the error to throw for an invalid input: its message is the first fault, with how many more there are */
export function invalidInput(faults: readonly Fault[]): JarvisError {
  const [first] = faults;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return new JarvisError('invalid', `${where}${first?.message ?? 'invalid input'}${more}`, {
    faults: faults.slice(0, MAX_FAULTS),
  });
}
