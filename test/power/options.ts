/** The command line of the power cuts: everything is checked before anything is started. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

import { JarvisError, messageOf } from '../../src/lib/errors.ts';

export interface PowerOptions {
  readonly seed: number;
  /** Power cuts, one after the other, of one cluster. */
  readonly count: number;
}

export const USAGE = 'usage: npm run power -- [--seed S] [--count N]';
const MAX_SEED = 2 ** 32 - 1;
const MAX_COUNT = 1000;
const DEFAULT_COUNT = 20;

/** @throws JarvisError invalid, naming the option, the value and what is allowed */
export function parseOptions(args: readonly string[]): PowerOptions {
  const { seed, count } = parse(args);
  return {
    seed: seed === undefined ? randomInt(MAX_SEED + 1) : wholeNumber('--seed', seed, 0, MAX_SEED),
    count: count === undefined ? DEFAULT_COUNT : wholeNumber('--count', count, 1, MAX_COUNT),
  };
}

function parse(args: readonly string[]) {
  try {
    const options = { seed: { type: 'string' }, count: { type: 'string' } } as const;
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
