/** The command line of the chaos run: everything is checked before anything is started. */
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { JarvisError, messageOf } from '../../src/lib/errors.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Absolute. */
  readonly directory: string;
}

export const USAGE = 'usage: npm run chaos -- [--seed S] [--seconds N] --out DIR';
const MAX_SEED = 2 ** 32 - 1;
const MAX_SECONDS = 3600;
const DEFAULT_SECONDS = 30;

/** @throws JarvisError invalid, naming the option, the value and what is allowed */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const values = parse(args);
  if (values.out === undefined || values.out === '') {
    throw new JarvisError('invalid', '--out is required: the directory of the history and the report');
  }
  return {
    seed:
      values.seed === undefined ? randomInt(MAX_SEED + 1) : wholeNumber('--seed', values.seed, 0, MAX_SEED),
    seconds:
      values.seconds === undefined
        ? DEFAULT_SECONDS
        : wholeNumber('--seconds', values.seconds, 1, MAX_SECONDS),
    directory: path.resolve(values.out),
  };
}

function parse(args: readonly string[]) {
  try {
    const options = {
      seed: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string' },
    } as const;
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new JarvisError('invalid', messageOf(error), { cause: error });
  }
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value >= least && value <= most) return value;
  throw new JarvisError(
    'invalid',
    `${name}: ${JSON.stringify(text)} is not allowed: a whole number from ${least} to ${most}`,
  );
}
