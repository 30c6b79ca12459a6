/**
 * Inputs of one target, one after the other, in a thread of its own: tells where it is, so that another thread sees when
 * one of them does not end, and looks now and then whether memory grows.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { crc32 } from 'node:zlib';

import { invariant } from '../../src/lib/assert.ts';
import type { Random } from '../../src/lib/random.ts';
import { seededRandom } from '../../src/lib/random.ts';
import type { Ending, OpenTarget, Target } from './target.ts';

/** What memory may take more after all garbage is collected, from the first look at a target on. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;
/** Looks at memory, in all of a target's inputs. */
const LOOKS = 10;
/** Before the first: caches and compiled code are there by then. */
const WARM_UP = 0.2;
const PROTOTYPE_NAMES = Reflect.ownKeys(Object.prototype).length;
/** Of a failing input, so many smaller ones are tried. */
const MINIMISING_TRIES = 500;
const MINIMISING_MS = 5000;

export interface Finding {
  readonly type: 'crash' | 'growth' | 'hang';
  readonly target: string;
  readonly index: number;
  readonly message: string;
  /** Base64; empty where none is to blame. */
  readonly input: string;
}

export interface TargetReport {
  readonly inputs: number;
  readonly endings: Readonly<Record<Ending, number>>;
  readonly grownBytes: number;
  readonly finding: Finding | null;
}

/** The input of that number: the same for the same seed, whatever was tried before. */
export function inputAt(open: OpenTarget, target: string, seed: number, index: number): Buffer {
  return open.input(randomAt(target, seed, index));
}

function randomAt(target: string, seed: number, index: number): Random {
  return seededRandom(crc32(`${seed}/${target}/${index}`));
}

export interface RunOptions {
  readonly seed: number;
  readonly count: number;
  /** Instead of `count`. */
  readonly ms: number | null;
  /** Told before each input. */
  readonly onInput: (index: number) => void;
}

export async function runTarget(target: Target, options: RunOptions): Promise<TargetReport> {
  // What waits for ever, for nothing, does not end the thread: it is found to hang.
  const alive = setInterval(() => {}, 1000);
  try {
    return await runInputs(target, options);
  } finally {
    clearInterval(alive);
  }
}

async function runInputs(target: Target, options: RunOptions): Promise<TargetReport> {
  const open = await target.open();
  const memory = new MemoryWatch();
  const endings = new Map<Ending, number>();
  const startMs = performance.now();
  const progress = (index: number): number =>
    options.ms === null ? index / options.count : (performance.now() - startMs) / options.ms;
  let finding: Finding | null = null;
  let index = 0;
  for (; finding === null && progress(index) < 1; index += 1) {
    options.onInput(index);
    const input = inputAt(open, target.name, options.seed, index);
    try {
      const running = open.run(input);
      const ending = typeof running === 'string' ? running : await running;
      endings.set(ending, (endings.get(ending) ?? 0) + 1);
      expectCleanPrototypes();
    } catch (error) {
      const minimal = await minimised(open, input, nameOf(error));
      finding = { type: 'crash', target: target.name, index, message: told(error), input: minimal };
    }
    const grown = await memory.look(progress(index + 1), open);
    if (finding === null && grown > MAX_GROWTH_BYTES) {
      const message = `memory has grown by ${grown} bytes; at most ${MAX_GROWTH_BYTES} are allowed`;
      finding = { type: 'growth', target: target.name, index, message, input: '' };
    }
  }
  await open.close?.();
  return { inputs: index, endings: Object.fromEntries(endings), grownBytes: memory.grownBytes, finding };
}

/** One input, and nothing else. @returns what is wrong with how it ends; null: nothing */
export async function runOne(target: Target, input: Buffer): Promise<Finding | null> {
  const open = await target.open();
  try {
    await open.run(input);
    expectCleanPrototypes();
    return null;
  } catch (error) {
    return {
      type: 'crash',
      target: target.name,
      index: 0,
      message: told(error),
      input: input.toString('base64'),
    };
  } finally {
    await open.close?.();
  }
}

/** @throws InvariantError where an input has put something into what every object inherits from */
function expectCleanPrototypes(): void {
  const names = Reflect.ownKeys(Object.prototype);
  invariant(
    names.length === PROTOTYPE_NAMES,
    `every object has another property now: ${String(names.at(-1))}`,
  );
}

function told(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What stays the same when an input is made smaller. */
function nameOf(error: unknown): string {
  return error instanceof Error ? `${error.name} ${error.stack?.split('\n')[1] ?? ''}` : String(error);
}

/** The smallest input found, by leaving out pieces, that ends in the same error at the same place. */
async function minimised(open: OpenTarget, input: Buffer, name: string): Promise<string> {
  const endMs = performance.now() + MINIMISING_MS;
  let smallest = input;
  let tries = 0;
  for (let piece = input.length >> 1; piece > 0; piece >>= 1) {
    for (let at = 0; at < smallest.length;) {
      if ((tries += 1) > MINIMISING_TRIES || performance.now() > endMs) return smallest.toString('base64');
      const smaller = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + piece)]);
      if (await failsAs(open, smaller, name)) smallest = smaller;
      else at += piece;
    }
  }
  return smallest.toString('base64');
}

async function failsAs(open: OpenTarget, input: Buffer, name: string): Promise<boolean> {
  try {
    await open.run(input);
    return false;
  } catch (error) {
    return nameOf(error) === name;
  }
}

/** What the process holds after garbage is collected, against what it held at the first look. */
class MemoryWatch {
  readonly #collect = garbageCollector();
  #nextLook = WARM_UP;
  #firstBytes: number | null = null;
  grownBytes = 0;

  /** @param progress 0 to 1. @returns the growth as of the last look */
  async look(progress: number, open: OpenTarget): Promise<number> {
    if (progress < this.#nextLook) return this.grownBytes;
    this.#nextLook = progress + (1 - WARM_UP) / LOOKS;
    await open.reset?.();
    this.#collect();
    const { heapUsed, external } = process.memoryUsage();
    this.#firstBytes ??= heapUsed + external;
    this.grownBytes = heapUsed + external - this.#firstBytes;
    return this.grownBytes;
  }
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
