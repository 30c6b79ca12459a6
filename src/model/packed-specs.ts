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

/** Packs specs one by one. The base is the first, or another that is given. */
export class SpecPacker {
  #base: TaskSpec | null;
  readonly #texts = new Map<Field, string>();
  readonly #changes: Partial<TaskSpec>[] = [];

  constructor(base: TaskSpec | null = null) {
    this.#base = base;
  }

  /** Null where there is none at all. */
  get packed(): PackedSpecs | null {
    return this.#base === null ? null : { base: this.#base, changes: this.#changes };
  }

  add(spec: TaskSpec): void {
    this.#base ??= spec;
    const base = this.#base;
    // Specs of one version have the same fields: those that the base lacks stand at the end.
    const fields = new Set([...Object.keys(base), ...Object.keys(spec)]) as ReadonlySet<Field>;
    const changes = [...fields].filter((field) => !this.#isSame(field, spec, base));
    this.#changes.push(Object.fromEntries(changes.map((field) => [field, spec[field]])));
  }

  #isSame(field: Field, spec: TaskSpec, base: TaskSpec): boolean {
    const value = spec[field];
    if (value === base[field]) return true;
    if (!isObject(value) || !isObject(base[field])) return false;
    let text = this.#texts.get(field);
    if (text === undefined) {
      text = JSON.stringify(base[field]);
      this.#texts.set(field, text);
    }
    return JSON.stringify(value) === text;
  }
}

/** @param specs at least one */
export function packSpecs(specs: readonly TaskSpec[], base: TaskSpec): PackedSpecs {
  const packer = new SpecPacker(base);
  for (const spec of specs) packer.add(spec);
  return packer.packed ?? { base, changes: [] };
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
