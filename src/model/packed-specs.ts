/**
 * Many specs that are alike, as they mostly are in one batch or DAG: the first of them whole, of the others only what
 * differs from it. An entry of ten thousand tasks is a fraction as large, and so is what it costs to code it.
 */
import type { TaskSpec } from './task.ts';

export interface PackedSpecs {
  readonly base: TaskSpec;
  /** For each spec, the first too. */
  readonly changes: readonly Partial<TaskSpec>[];
}

type Field = keyof TaskSpec;

/** @param specs at least one */
export function packSpecs(specs: readonly TaskSpec[], base: TaskSpec): PackedSpecs {
  const fields = Object.keys(base) as Field[];
  const texts = new Map(fields.map((field) => [field, JSON.stringify(base[field])]));
  return { base, changes: specs.map((spec) => changesOf(spec, base, fields, texts)) };
}

function changesOf(
  spec: TaskSpec,
  base: TaskSpec,
  fields: readonly Field[],
  texts: ReadonlyMap<Field, string>,
): Partial<TaskSpec> {
  const changes = fields.filter((field) => {
    const value = spec[field];
    return value !== base[field] && (!isObject(value) || JSON.stringify(value) !== texts.get(field));
  });
  // Specs of one version have the same fields: those that the base lacks stand at the end.
  const others = (Object.keys(spec) as Field[]).filter((field) => !texts.has(field));
  return Object.fromEntries([...changes, ...others].map((field) => [field, spec[field]]));
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** The fields stand in the order of the base on every replica. */
export function unpackSpec({ base, changes }: PackedSpecs, at: number): TaskSpec | undefined {
  const own = changes[at];
  return own === undefined ? undefined : { ...base, ...own };
}

export function sliceOfSpecs({ base, changes }: PackedSpecs, from: number, end: number): PackedSpecs {
  return { base, changes: changes.slice(from, end) };
}
