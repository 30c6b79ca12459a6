/**
 * Templates, checked without making what they stand for: the template once, with tokens in the place of its parameters
 * that are valid wherever text is, and of each task only what parameters can spoil. So a batch of 100,000 takes a
 * fraction of what as many tasks take, and one that would grow beyond the limits is found before anything is made.
 */
import { isPlainObject } from '../lib/plain-object.ts';
import { NAME_PATTERN } from '../lib/names.ts';
import type { Pairs, RetryPolicy, TaskSpec } from '../model/task.ts';
import { INDEX_PARAMETER, fillIn, parametersOf, placeholdersIn } from '../model/template.ts';
import type { FaultPath } from './faults.ts';
import { show } from './faults.ts';
import { MAX_TEXT_BYTES } from './fields.ts';
import type { FaultList } from './group-fields.ts';
import { closest } from './suggest.ts';
import { checkTaskSpec } from './task-schema.ts';
import type { Turns } from './turns.ts';

type Plain = Readonly<Record<string, unknown>>;

const PARAMETER_PATTERN = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;
const MAX_PARAMETERS = 64;
/** Fields of the shape of which nothing but their length can go wrong. */
const FREE_TEXT: ReadonlySet<string> = new Set(['command', 'env']);
/** Of what parameters make of a template, remembered so that the same need not be looked at twice. */
const MOST_REMEMBERED = 10_000;

/** The values for each task, sorted by name; with faults some are missing. */
export async function checkParameters(
  given: readonly unknown[],
  faults: FaultList,
  turns: Turns,
): Promise<readonly Pairs[]> {
  const all: Pairs[] = [];
  for (const [at, plain] of given.entries()) {
    if (faults.isFull) break;
    all.push(pairsOf(plain, ['parameters', at], faults));
    await turns.piece();
  }
  return all;
}

function pairsOf(plain: unknown, path: FaultPath, faults: FaultList): Pairs {
  if (!isPlainObject(plain)) {
    faults.add(path, `must map names to values, not ${show(plain)}`);
    return [];
  }
  const entries = Object.entries(plain);
  if (entries.length > MAX_PARAMETERS)
    faults.add(path, `${entries.length} parameters are too many: at most ${MAX_PARAMETERS}`);
  const pairs = entries.map(([name, value]): [string, string] => {
    if (!PARAMETER_PATTERN.test(name))
      faults.add([...path, name], `${show(name)} is not a name: a letter, then letters, digits, _ and -`);
    if (name === INDEX_PARAMETER) faults.add([...path, name], 'is there already: the place of the task');
    const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
    if (typeof text !== 'string') {
      faults.add([...path, name], `must be a string or a number, not ${show(value)}`);
      return [name, ''];
    }
    if (text.includes('\0')) faults.add([...path, name], 'must not contain a NUL character');
    if (!text.isWellFormed()) faults.add([...path, name], 'must be valid Unicode');
    return [name, text];
  });
  return pairs.sort(([left], [right]) => (left < right ? -1 : Number(left > right)));
}

export class Template {
  /** As it is kept; null where it is invalid. */
  readonly spec: TaskSpec | null;
  readonly #plain: Plain;
  readonly #parameters: readonly Pairs[] | null;
  readonly #faults: FaultList;
  readonly #retryPolicy: RetryPolicy | undefined;
  /** Names that stand in it. */
  readonly #names: ReadonlySet<string>;

  /** @param parameters null: of each task its index only */
  constructor(
    plain: Plain,
    parameters: readonly Pairs[] | null,
    faults: FaultList,
    retryPolicy?: RetryPolicy,
  ) {
    this.#plain = plain;
    this.#retryPolicy = retryPolicy;
    this.#parameters = parameters;
    this.#faults = faults;
    this.#names = new Set(namesIn(plain));
    const known = [INDEX_PARAMETER, ...new Set((parameters ?? []).flat().map(([name]) => name))];
    checkNames(plain, ['template'], known, faults);
    this.spec = faults.isEmpty ? this.#check() : null;
  }

  /** With a token for each parameter, which become placeholders again in what comes out. */
  #check(): TaskSpec | null {
    const names = [...this.#names];
    const token = unusedToken(JSON.stringify(this.#plain));
    const tokens = new Map(names.map((name, at) => [name, `${token}${at}z`]));
    const pathTokens = new Map(names.map((name, at) => [name, `/${token}a${at}z`]));
    const isToken = new RegExp(`(?:/${token}a|${token})(\\d+)z`, 'g');
    const whole = new Map<string, string>();
    const restore = (text: string): string =>
      whole.get(text) ?? text.replaceAll(isToken, (_, at: string) => `{{${names[Number(at)]}}}`);
    let filled = withTokens(this.#plain, tokens, pathTokens);
    let result = checkTaskSpec(filled, this.#retryPolicy);
    // Of these parameters make a number or a tag where no token can stand: they are looked at with them.
    for (const field of ['user', 'image']) {
      const text = this.#plain[field];
      if (result.type === 'valid' || !result.faults.some(({ path }) => path[0] === field)) continue;
      if (typeof text !== 'string' || placeholdersIn(text).length === 0) continue;
      whole.set(`${token}${field}`, text);
      filled = { ...filled, [field]: `${token}${field}` };
      result = checkTaskSpec(filled, this.#retryPolicy);
    }
    if (result.type === 'valid') return named(restoredIn(result.spec, restore) as TaskSpec, this.#plain);
    for (const { path, message } of result.faults) this.#faults.add(['template', ...path], restore(message));
    return null;
  }

  /** What parameters make of it, task by task. @param count where there are no parameters */
  async checkTasks(count: number, turns: Turns): Promise<void> {
    if (this.#names.size === 0) return;
    const size = this.#parameters?.length ?? count;
    const checks = new TaskChecks(this.#plain, this.#faults);
    for (let index = 0; index < size && !this.#faults.isFull; index += 1) {
      const pairs = this.#parameters?.[index] ?? [];
      const path = this.#parameters === null ? ['template'] : ['parameters', index];
      const missing = [...this.#names].filter(
        (name) => name !== INDEX_PARAMETER && !pairs.some(([known]) => known === name),
      );
      for (const name of missing) this.#faults.add(path, `lacks ${show(name)}, which the template names`);
      if (missing.length === 0) checks.check(index, pairs, path);
      await turns.piece();
    }
  }
}

/** A name that is made of the program's or the image's is the same for all: what a parameter holds need be no name. */
function named(spec: TaskSpec, { name }: Plain): TaskSpec {
  if ((name !== undefined && name !== null) || placeholdersIn(spec.name).length === 0) return spec;
  const fixed = fillIn(spec.name, new Map(placeholdersIn(spec.name).map((one) => [one, ''])));
  return { ...spec, name: NAME_PATTERN.test(fixed) ? fixed : 'task' };
}

/** What of a single task depends on its parameters. */
class TaskChecks {
  readonly #faults: FaultList;
  readonly #program: string;
  /** Fields that a parameter can make invalid, and what they need beside them to be looked at. */
  readonly #fields: Plain;
  readonly #isNameOnly: boolean;
  readonly #bytes: readonly { readonly field: string; readonly fixed: number; readonly uses: Uses }[];
  readonly #known = new Set<string>();

  constructor(plain: Plain, faults: FaultList) {
    this.#faults = faults;
    const command: unknown = plain['command'];
    this.#program = Array.isArray(command) && typeof command[0] === 'string' ? command[0] : 'x';
    const own = Object.entries(plain).filter(
      ([field, value]) => !FREE_TEXT.has(field) && [...namesIn(value)].length > 0,
    );
    this.#isNameOnly = own.every(([field]) => field === 'name');
    // Rules that hold between fields look at the image and the command.
    const image = plain['image'] === undefined ? {} : { image: plain['image'] };
    this.#fields = { ...image, command: ['x'], ...Object.fromEntries(own) };
    this.#bytes = [...FREE_TEXT].map((field) => ({ field, ...usesIn(plain[field]) }));
  }

  check(index: number, pairs: Pairs, path: FaultPath): void {
    const values = parametersOf(index, pairs);
    if (this.#program !== 'x' && fillIn(this.#program, values) === '')
      this.#faults.add(path, 'makes command[0] empty: the program must not be empty');
    for (const { field, fixed, uses } of this.#bytes) {
      let bytes = fixed;
      for (const [name, times] of uses) bytes += times * Buffer.byteLength(values.get(name) ?? '');
      if (bytes > MAX_TEXT_BYTES)
        this.#faults.add(path, `makes ${bytes} bytes of ${field}, which is too much: 1 MiB in all`);
    }
    this.#checkFields(values, index, path);
  }

  #checkFields(values: ReadonlyMap<string, string>, index: number, path: FaultPath): void {
    if (this.#isNameOnly) {
      const name = fillIn(this.#fields['name'], values);
      if (name === undefined || name === null || (typeof name === 'string' && NAME_PATTERN.test(name)))
        return;
    }
    const filled = fillIn(this.#fields, values);
    const text = JSON.stringify(filled);
    if (this.#known.has(text)) return;
    if (this.#known.size < MOST_REMEMBERED) this.#known.add(text);
    const result = checkTaskSpec(filled);
    if (result.type === 'valid') return;
    const [first] = result.faults;
    this.#faults.add(
      path,
      `task ${index}: ${first?.path.join('.') ?? ''}: ${first?.message ?? 'is invalid'}`,
    );
  }
}

type Uses = readonly (readonly [name: string, times: number])[];

/** Bytes of all strings without their placeholders, and how often each of these stands in them. */
function usesIn(value: unknown): { readonly fixed: number; readonly uses: Uses } {
  let fixed = 0;
  const uses = new Map<string, number>();
  for (const text of stringsIn(value)) {
    fixed += Buffer.byteLength(text);
    for (const name of placeholdersIn(text)) uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  return { fixed, uses: [...uses] };
}

function* stringsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (Array.isArray(value)) for (const one of value) yield* stringsIn(one);
  else if (isPlainObject(value)) for (const one of Object.values(value)) yield* stringsIn(one);
}

function* namesIn(value: unknown): Generator<string> {
  for (const text of stringsIn(value)) yield* placeholdersIn(text);
}

/** Each placeholder must be known; in the keys of maps there are none. */
function checkNames(value: unknown, path: FaultPath, known: readonly string[], faults: FaultList): void {
  if (typeof value === 'string') {
    for (const name of new Set(placeholdersIn(value))) {
      if (known.includes(name)) continue;
      const meant = closest(name, known);
      const hint = meant === null ? '' : `, did you mean ${meant}?`;
      faults.add(path, `{{${name}}} is no parameter${hint} (known: ${known.join(', ')})`);
    }
  } else if (Array.isArray(value)) {
    for (const [at, one] of value.entries()) checkNames(one, [...path, at], known, faults);
  } else if (isPlainObject(value)) {
    for (const [key, one] of Object.entries(value)) checkNames(one, [...path, key], known, faults);
  }
}

/**
 * Where a path has to be absolute, a parameter at its beginning is taken for one that is; what it makes of each task is
 * looked at later.
 */
function withTokens(
  plain: Plain,
  tokens: ReadonlyMap<string, string>,
  pathTokens: ReadonlyMap<string, string>,
): Plain {
  const asPath = (value: unknown): unknown => {
    if (typeof value !== 'string') return value;
    const [first = ''] = /^\{\{[^{}]*\}\}/.exec(value) ?? [];
    return fillIn(first, pathTokens) + fillIn(value.slice(first.length), tokens);
  };
  const filled: Record<string, unknown> = { ...fillIn(plain, tokens) };
  if (plain['working_dir'] !== undefined) filled['working_dir'] = asPath(plain['working_dir']);
  const mounts: unknown = plain['mounts'];
  if (!Array.isArray(mounts)) return filled;
  filled['mounts'] = mounts.map((mount: unknown) =>
    isPlainObject(mount)
      ? Object.fromEntries(Object.entries(mount).map(([key, value]) => [key, asPath(value)]))
      : mount,
  );
  return filled;
}

/** Letters that the text does not hold. */
function unusedToken(text: string): string {
  let token = 'zq';
  while (text.includes(token)) token += 'q';
  return token;
}

function restoredIn(value: unknown, restore: (text: string) => string): unknown {
  if (typeof value === 'string') return restore(value);
  if (Array.isArray(value)) return value.map((one: unknown) => restoredIn(one, restore));
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, restoredIn(one, restore)]));
}
