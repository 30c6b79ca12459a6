/**
 * One block of settings that belong to the whole cluster: a table of its fields, from which follow the schema that reads it, what is shown of
 * it, what its defaults are and what may be wrong between its fields. Files of nodes, `PUT /config` and the JSON Schema go by the same table.
 */
import { z } from 'zod';

import type { KnownFields, LocatedFault } from '../faults.ts';

/** What is said of a block: null stands for the default, what is not said is absent. */
export type Stated<Model> = { readonly [Key in keyof Model]?: Model[Key] | null };

interface FieldOf<Key, Value> {
  /** Of the model. */
  readonly key: Key;
  readonly schema: z.ZodType<Value>;
  /** As the API shows it. */
  show(value: Value): unknown;
  /** Shown in seconds. */
  readonly isDuration?: boolean;
  /** In a few words of Markdown: docs/configuration.md shows it. */
  readonly meaning: string;
}

type AnyField<Model> = { [Key in keyof Model]: FieldOf<Key, Model[Key]> }[keyof Model];

export interface DescribedSetting {
  /** Such as `heartbeat.timeout`. */
  readonly name: string;
  readonly schema: z.ZodType;
  /** Of the model. */
  readonly value: unknown;
  readonly meaning: string;
}

export interface BlockOptions<Model> {
  /** By the names that users write. */
  readonly fields: Readonly<Record<string, AnyField<Model>>>;
  /** What may stand in maps within the block, by their path in it. */
  readonly known?: Readonly<Record<string, readonly string[]>>;
  /** What is wrong between its fields; paths are within the block. */
  faultsOf?(model: Model): readonly LocatedFault[];
}

export class SettingsBlock<Model> {
  readonly name: string;
  readonly fieldNames: readonly string[];
  /** Of what users write, to what they state. Field by field; the rules between fields are {@link faultsOf}'s. */
  readonly schema: z.ZodType<Stated<Model>>;
  readonly #options: BlockOptions<Model>;

  constructor(name: string, options: BlockOptions<Model>) {
    this.name = name;
    this.#options = options;
    this.fieldNames = Object.keys(options.fields);
    const shape = Object.fromEntries(
      Object.entries(options.fields).map(([field, { schema }]) => [field, schema.nullish()]),
    );
    this.schema = z.strictObject(shape).transform((plain): Stated<Model> => this.#stated(plain));
  }

  get known(): Readonly<Record<string, KnownFields>> {
    const { known = {} } = this.#options;
    const within = Object.entries(known).map(([path, fields]): [string, KnownFields] => [
      `${this.name}.${path}`,
      { fields, unsupported: [] },
    ]);
    return { [this.name]: { fields: this.fieldNames, unsupported: [] }, ...Object.fromEntries(within) };
  }

  /** @param stated null: the defaults. @param current what stays where nothing is stated */
  resolve(stated: Stated<Model> | null, current: Model, defaults: Model): Model {
    if (stated === null) return defaults;
    const changed: Partial<Model> = {};
    for (const { key } of Object.values(this.#options.fields)) {
      const value = stated[key];
      if (value === null) changed[key] = defaults[key];
      else if (value !== undefined) changed[key] = value;
    }
    return { ...current, ...changed };
  }

  /** Paths begin with the block's name. */
  faultsOf(model: Model): readonly LocatedFault[] {
    return (this.#options.faultsOf?.(model) ?? []).map(({ path, message }) => ({
      path: [this.name, ...path],
      message,
    }));
  }

  /** As the API shows it: durations in seconds, and no secrets. */
  show(model: Model): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      Object.entries(this.#options.fields).map(([name, field]) => [name, field.show(model[field.key])]),
    );
  }

  /** The fields of `stated` that `counts` has otherwise, as users name them. */
  differing(stated: Stated<Model> | null, counts: Model, defaults: Model): readonly string[] {
    const meant = this.resolve(stated, counts, defaults);
    return Object.entries(this.#options.fields)
      .filter(([, { key }]) => JSON.stringify(meant[key]) !== JSON.stringify(counts[key]))
      .map(([field]) => `${this.name}.${field}`);
  }

  /** @param model whose values count where nothing is said */
  described(model: Model): readonly DescribedSetting[] {
    return Object.entries(this.#options.fields).map(([field, { key, schema, meaning }]) => ({
      name: `${this.name}.${field}`,
      schema,
      value: model[key],
      meaning,
    }));
  }

  isDuration(field: string): boolean {
    return this.#options.fields[field]?.isDuration === true;
  }

  #stated(plain: Readonly<Record<string, unknown>>): Stated<Model> {
    const stated: Record<string, unknown> = {};
    for (const [field, { key }] of Object.entries(this.#options.fields)) {
      if (plain[field] !== undefined) stated[String(key)] = plain[field];
    }
    return stated as Stated<Model>;
  }
}
