/** What batches and DAGs have in common, as users write them. */
import { z } from 'zod';

import { limits } from '../lib/limits.ts';
import { isPlainObject } from '../lib/plain-object.ts';
import type { FaultPath, KnownFields, LocatedFault } from './faults.ts';
import { faultsOf, show } from './faults.ts';
import { name, wholeNumber } from './fields.ts';

const MAX_PARALLEL = 1_000_000;
/** Collected of one request; it is refused in any case. */
const MOST_FAULTS = 200;

export const groupFields = {
  apiVersion: z.literal('jarvis/v1').nullish(),
  kind: z.string().nullish(),
  name: name.nullish(),
  max_parallel: wholeNumber(1, MAX_PARALLEL).nullish(),
  max_failures: wholeNumber(0, MAX_PARALLEL).nullish(),
};

export const taskList = z.array(z.unknown()).min(1).max(limits.listedTasks);

/** Either what was meant, or everything that is wrong with it. */
export type Checked<T> =
  | { readonly type: 'valid'; readonly spec: T }
  | { readonly type: 'invalid'; readonly faults: readonly LocatedFault[] };

/** Gathers faults, each with its place, and says when there are enough. */
export class FaultList {
  readonly #faults: LocatedFault[] = [];

  get faults(): readonly LocatedFault[] {
    return this.#faults;
  }

  get isEmpty(): boolean {
    return this.#faults.length === 0;
  }

  /** Nobody reads more: the rest need not be looked for. */
  get isFull(): boolean {
    return this.#faults.length >= MOST_FAULTS;
  }

  add(path: FaultPath, message: string): void {
    if (!this.isFull) this.#faults.push({ path, message });
  }

  addAll(faults: readonly LocatedFault[], at: FaultPath = []): void {
    for (const { path, message } of faults) this.add([...at, ...path], message);
  }
}

/** The outer fields, or null with their faults added. */
export function parseOuter<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape, z.core.$strict>,
  plain: unknown,
  kind: string,
  faults: FaultList,
): z.output<z.ZodObject<Shape, z.core.$strict>> | null {
  const known: Readonly<Record<string, KnownFields>> = {
    '': { fields: Object.keys(schema.shape), unsupported: [] },
  };
  const result = schema.safeParse(plain, { reportInput: true });
  if (!result.success) faults.addAll(faultsOf(result.error, known));
  const given: unknown = isPlainObject(plain) ? plain['kind'] : undefined;
  if (given !== undefined && given !== null && given !== kind)
    faults.add(['kind'], `${show(given)} is not allowed: must be ${kind}`);
  return result.success ? result.data : null;
}

/** Answers repeat the names and ids of all tasks. */
export function checkNameBytes(bytes: number, path: FaultPath, faults: FaultList): void {
  if (bytes > limits.groupNameBytes)
    faults.add(
      path,
      `the names of all tasks take ${bytes} bytes: at most ${limits.groupNameBytes} are allowed`,
    );
}
