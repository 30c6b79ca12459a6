/** The command line of the simulation; a bad one is one line on stderr, and exit 2. */
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { JarvisError, messageOf } from '../../src/lib/errors.ts';
import { MUTANTS } from './mutants.ts';

export interface SimOptions {
  readonly seed: number;
  readonly count: number;
  /** Instead of a number of seeds: as many as begin in this time. */
  readonly seconds: number | null;
  readonly mutant: string | null;
  readonly listMutants: boolean;
  readonly allMutants: boolean;
  readonly failedSeeds: boolean;
  /** Absolute. */
  readonly json: string | null;
}

export const USAGE =
  'usage: npm run sim -- [--seed S] [--count N | --seconds T] [--failed-seeds] [--mutant NAME | --all-mutants] [--list-mutants] [--json FILE]';
const MAX_SEED = 2 ** 32 - 1;
const MAX_COUNT = 1_000_000;
const MAX_SECONDS = 86_400;
const DEFAULT_COUNT = 100;

/** @throws JarvisError invalid, naming the option, the value and what is allowed */
export function parseOptions(args: readonly string[]): SimOptions {
  const values = parse(args);
  const { mutant = null, json } = values;
  if (mutant !== null && !MUTANTS.some(({ name }) => name === mutant))
    throw new JarvisError(
      'invalid',
      `--mutant: there is no ${JSON.stringify(mutant)}; --list-mutants names them`,
    );
  if (json === '') throw new JarvisError('invalid', '--json: the name of a file is missing');
  return {
    seed: whole('--seed', values.seed, 0, MAX_SEED) ?? randomInt(MAX_SEED + 1),
    count: whole('--count', values.count, 1, MAX_COUNT) ?? DEFAULT_COUNT,
    seconds: whole('--seconds', values.seconds, 1, MAX_SECONDS),
    mutant,
    listMutants: values['list-mutants'] ?? false,
    allMutants: values['all-mutants'] ?? false,
    failedSeeds: values['failed-seeds'] ?? false,
    json: json === undefined ? null : path.resolve(json),
  };
}

function parse(args: readonly string[]) {
  try {
    const options = {
      seed: { type: 'string' },
      count: { type: 'string' },
      seconds: { type: 'string' },
      mutant: { type: 'string' },
      'all-mutants': { type: 'boolean' },
      'list-mutants': { type: 'boolean' },
      'failed-seeds': { type: 'boolean' },
      json: { type: 'string' },
    } as const;
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new JarvisError('invalid', messageOf(error), { cause: error });
  }
}

function whole(name: string, text: string | undefined, least: number, most: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value >= least && value <= most) return value;
  throw new JarvisError(
    'invalid',
    `${name}: ${JSON.stringify(text)} is not allowed: a whole number from ${least} to ${most}`,
  );
}
