/** What the fields of a task say of each other: which need an image, and how resources and limits go together. */
import type { z } from 'zod';

import { isPlainObject } from '../lib/plain-object.ts';
import type { LocatedFault } from './faults.ts';
import { show } from './faults.ts';

type Plain = Readonly<Record<string, unknown>>;

const IMAGE_ONLY = ['mounts', 'network', 'pull_policy'] as const;

/** Schemas by which `limits` and `resources` are read, however wrong the rest of the task is. */
export interface QuantitySchemas {
  readonly resources: Readonly<Record<'cpu' | 'memory', z.ZodType<number | null | undefined>>>;
  readonly limits: Readonly<Record<'cpu' | 'memory', z.ZodType<number | null | undefined>>>;
}

/**
 * Adds the faults of a whole task to those of its fields.
 * @param plain as the user wrote it
 * @param found what is wrong with its fields one by one
 */
export function withContainerFaults(
  plain: unknown,
  found: readonly LocatedFault[],
  schemas: QuantitySchemas,
): readonly LocatedFault[] {
  if (!isPlainObject(plain)) return found;
  if (isAbsent(plain['image'])) {
    const needing = IMAGE_ONLY.filter((field) => isGiven(plain[field]));
    // One fault says enough: what is wrong within such a field does not matter yet.
    const others = found.filter(({ path }) => !needing.some((field) => field === path[0]));
    const needs = needing.map((field) => ({ path: [field], message: 'needs an image in this version' }));
    return [...commandFaults(plain['command']), ...others, ...needs, ...limitFaults(plain, schemas)];
  }
  return [...found, ...limitFaults(plain, schemas)];
}

function commandFaults(command: unknown): readonly LocatedFault[] {
  const path = ['command'];
  if (isAbsent(command))
    return [{ path, message: 'is required without an image: a list of the program and its arguments' }];
  if (Array.isArray(command) && command.length === 0)
    return [{ path, message: 'must not be empty without an image: the program, then its arguments' }];
  return [];
}

/** A resource that was asked for in so many words and that its limit makes unreachable. */
function limitFaults(plain: Plain, schemas: QuantitySchemas): readonly LocatedFault[] {
  const { resources, limits } = plain;
  if (!isPlainObject(resources) || !isPlainObject(limits)) return [];
  return (['cpu', 'memory'] as const).flatMap((field) => {
    const wanted = schemas.resources[field].safeParse(resources[field]).data;
    const most = schemas.limits[field].safeParse(limits[field]).data;
    if (isAbsent(wanted) || isAbsent(most) || wanted <= most) return [];
    const message = `${show(resources[field])} is above limits.${field}, ${show(limits[field])}: at most that`;
    return [{ path: ['resources', field], message }];
  });
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** An empty list of mounts asks for nothing, and travels as one that is absent. */
function isGiven(value: unknown): boolean {
  return !isAbsent(value) && !(Array.isArray(value) && value.length === 0);
}
