/** The command line of the fuzzing; a bad one is one line on stderr, and exit 2. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

import { JarvisError, messageOf } from '../../src/lib/errors.ts';
import { PLANTS } from './plants.ts';
import type { Target } from './target.ts';
import { TARGETS } from './targets.ts';

export interface FuzzOptions {
  readonly seed: number;
  readonly count: number;
  /** Instead of a number of inputs: as many as fit this time. */
  readonly seconds: number | null;
  readonly targets: readonly Target[];
  readonly listTargets: boolean;
  readonly listPlants: boolean;
  readonly plant: string | null;
  /** This one alone, for the one target that is named. */
  readonly input: Buffer | null;
}

export const USAGE =
  'usage: npm run fuzz -- [--seed S] [--count N | --seconds T] [--target NAME,…] [--input BASE64] [--plant NAME] [--list-targets] [--list-plants]';
const MAX_SEED = 2 ** 32 - 1;
const MAX_COUNT = 1_000_000_000;
const MAX_SECONDS = 86_400;
const DEFAULT_COUNT = 20_000;

/** @throws JarvisError invalid, naming the option, the value and what is allowed */
export function parseOptions(args: readonly string[]): FuzzOptions {
  const values = parse(args);
  const targets = targetsOf(values.target);
  const { plant = null, input } = values;
  if (plant !== null && !PLANTS.some(({ name }) => name === plant))
    throw invalid('--plant', plant, `one of ${PLANTS.map(({ name }) => name).join(', ')}`);
  if (input !== undefined && targets.length !== 1)
    throw new JarvisError('invalid', '--input: one --target is needed, which takes it');
  return {
    seed: whole('--seed', values.seed, 0, MAX_SEED) ?? randomInt(MAX_SEED + 1),
    count: whole('--count', values.count, 1, MAX_COUNT) ?? DEFAULT_COUNT,
    seconds: whole('--seconds', values.seconds, 1, MAX_SECONDS),
    targets,
    listTargets: values['list-targets'] ?? false,
    listPlants: values['list-plants'] ?? false,
    plant,
    input: input === undefined ? null : Buffer.from(input, 'base64'),
  };
}

function targetsOf(names: readonly string[] | undefined): readonly Target[] {
  if (names === undefined) return TARGETS;
  return names
    .flatMap((list) => list.split(','))
    .map((name) => {
      const target = TARGETS.find((one) => one.name === name);
      if (target !== undefined) return target;
      throw invalid('--target', name, `one of ${TARGETS.map((one) => one.name).join(', ')}`);
    });
}

function parse(args: readonly string[]) {
  try {
    const options = {
      seed: { type: 'string' },
      count: { type: 'string' },
      seconds: { type: 'string' },
      target: { type: 'string', multiple: true },
      input: { type: 'string' },
      plant: { type: 'string' },
      'list-targets': { type: 'boolean' },
      'list-plants': { type: 'boolean' },
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
  throw invalid(name, text, `a whole number from ${least} to ${most}`);
}

function invalid(name: string, value: string, allowed: string): JarvisError {
  return new JarvisError('invalid', `${name}: ${JSON.stringify(value)} is not allowed: ${allowed}`);
}
