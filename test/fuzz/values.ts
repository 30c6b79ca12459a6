/** Values made wrong: plain data with the structure that decoders accept, and something within it that nobody expects. */
import type { Random } from '../../src/lib/random.ts';
import { anyWord, below, MAX_INPUT_BYTES, pick } from './mutations.ts';

const NUMBERS: readonly number[] = [
  0,
  1,
  -1,
  0.5,
  -0,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 52,
  864e13,
  864e13 + 1,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  1e21,
  1e300,
  Number.MIN_VALUE,
  Number.NaN,
  Infinity,
  -Infinity,
].flat();

/** A copy with one to four things in it changed, wherever they stand. */
export function changedValue(random: Random, value: unknown): unknown {
  let changed = value;
  for (let change = 1 + below(random, 4); change > 0; change -= 1)
    changed = changedSomewhere(random, changed);
  return changed;
}

function changedSomewhere(random: Random, value: unknown): unknown {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return Buffer.alloc(below(random, 100), 'x');
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    if (items.length === 0 || random() < 0.2) return changedList(random, items);
    const at = below(random, items.length);
    return items.with(at, changedSomewhere(random, items[at]));
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0 || random() < 0.1) return changedObject(random, entries);
    const [key, inner] = pick(random, entries);
    return { ...value, [key]: changedSomewhere(random, inner) };
  }
  return anotherOf(random, value);
}

function changedList(random: Random, items: readonly unknown[]): readonly unknown[] {
  if (items.length === 0) return [anyWord(random)];
  const at = below(random, items.length);
  const copies = random() < 0.05 ? timesOf(items[at], below(random, 2000)) : 1;
  return random() < 0.4
    ? items.toSpliced(at, 1)
    : [...items, ...Array.from({ length: copies }, () => items[at])];
}

function changedObject(random: Random, entries: readonly (readonly [string, unknown])[]): object {
  const at = below(random, entries.length + 1);
  const kept = random() < 0.5 ? entries.toSpliced(at, 1) : entries;
  return Object.fromEntries([...kept, [anyWord(random), entries[at]?.[1] ?? anyWord(random)]]);
}

/** Mostly of the same type: others seldom get past the first check. */
function anotherOf(random: Random, value: unknown): unknown {
  if (random() < 0.1) return pick(random, [null, undefined, true, 0, '', [], {}]);
  switch (typeof value) {
    case 'number':
      return random() < 0.3 ? below(random, 10) : pick(random, NUMBERS);
    case 'boolean':
      return !value;
    case 'string':
      return changedText(random, value);
    default:
      return random() < 0.5 ? anyWord(random) : pick(random, NUMBERS);
  }
}

function changedText(random: Random, text: string): string {
  const word = anyWord(random);
  const at = below(random, text.length + 1);
  switch (below(random, 5)) {
    case 0:
      return word;
    case 1:
      return text.slice(0, at) + word + text.slice(at);
    case 2:
      return text.slice(0, at);
    case 3:
      return text.repeat(timesOf(text, random() < 0.05 ? below(random, 5000) : 2));
    default:
      return '';
  }
}

/** How often a value may be repeated: changes on changes would otherwise make what no target can be given. */
function timesOf(value: unknown, atMost: number): number {
  return Math.max(1, Math.min(atMost, Math.floor(MAX_INPUT_BYTES / sizeOf(value))));
}

/** Roughly, of what it is written as: at least 1. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 1;
  if (typeof value !== 'object' || value === null) return 8;
  if (value instanceof Uint8Array) return value.length + 1;
  return Object.entries(value).reduce((sum, [key, inner]) => sum + key.length + sizeOf(inner), 2);
}
