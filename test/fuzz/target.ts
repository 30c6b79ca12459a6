/** What a target of the fuzzing is: a way to make inputs from chance, and what may become of one. */
import { invariant } from '../../src/lib/assert.ts';
import type { ErrorCode } from '../../src/lib/errors.ts';
import { JarvisError } from '../../src/lib/errors.ts';
import type { Random } from '../../src/lib/random.ts';

/** How an input ended, in a word: counted, so that it shows whether anything gets past the first check. */
export type Ending = string;

export interface OpenTarget {
  /** The same for the same numbers drawn. */
  input(random: Random): Buffer;
  /**
   * @returns how it ended, where it is one of the ends that are documented
   * @throws anything else
   */
  run(input: Buffer): Ending | Promise<Ending>;
  /** Lets go of what earlier inputs have made, as a model of a cluster: it is not what memory must not grow by. */
  reset?(): Promise<void> | void;
  close?(): Promise<void>;
}

export interface Target {
  readonly name: string;
  readonly what: string;
  /** Its share of the inputs, beside those of the others. */
  readonly weight: number;
  open(): Promise<OpenTarget> | OpenTarget;
}

/** The ending of an error that the code may throw. @throws the error, where it is another */
function endingOf(error: unknown, codes: readonly ErrorCode[]): Ending {
  if (error instanceof JarvisError && codes.includes(error.code)) return error.code;
  throw error;
}

/** `ok`, or the code of an error that it may throw. */
export function attempt(work: () => unknown, codes: readonly ErrorCode[]): Ending {
  try {
    work();
    return 'ok';
  } catch (error) {
    return endingOf(error, codes);
  }
}

export async function attemptAsync(
  work: () => Promise<unknown>,
  codes: readonly ErrorCode[],
): Promise<Ending> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    return endingOf(error, codes);
  }
}

/** @throws InvariantError where they are not the same, as JSON shows them */
export function expectSame(what: string, left: unknown, right: unknown): void {
  const [a, b] = [JSON.stringify(left), JSON.stringify(right)];
  invariant(a === b, `${what}: ${a?.slice(0, 2000)} is not ${b?.slice(0, 2000)}`);
}
