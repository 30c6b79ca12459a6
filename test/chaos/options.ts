/** The command line of the chaos run: everything is checked before anything is started. */
import { randomInt } from 'node:crypto';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { JarvisError, messageOf } from '../../src/lib/errors.ts';
import { bedObstacle } from '../support/docker-bed/programs.ts';
import { FAULT_KINDS, type FaultKind } from './faults.ts';
import { JUDGES } from './judges.ts';
import { plantOf, PLANTS } from './plants.ts';
import { WORKLOADS, type WorkloadName } from './workload.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Absolute. */
  readonly directory: string;
  readonly workloads: readonly WorkloadName[];
  readonly nemesis: readonly FaultKind[];
  readonly plant: string | null;
  /** Judges that are not asked. */
  readonly without: readonly string[];
}

export const USAGE =
  'usage: npm run chaos -- [--seed S] [--seconds N] --out DIR [--workload W,…] [--nemesis X,…] [--plant NAME] ' +
  '[--without JUDGE,…] | --list-plants';
const MAX_SEED = 2 ** 32 - 1;
const MAX_SECONDS = 3600;
const DEFAULT_SECONDS = 30;
/** There is nothing to pause or to run in without one. */
const OF_ENGINES: ReadonlySet<string> = new Set(['containers', 'pause-engine']);

/** @returns null where the plants are to be listed @throws JarvisError invalid, naming the option, the value and what is allowed */
export function parseOptions(args: readonly string[]): ChaosOptions | null {
  const values = parse(args);
  if (values['list-plants'] === true) return null;
  const { out, seed, seconds, plant = null } = values;
  if (out === undefined || out === '') {
    throw invalid('--out is required: the directory of the history and the report');
  }
  if (plant !== null && plantOf(plant) === null)
    throw invalid(
      `--plant: there is no ${JSON.stringify(plant)}: ${PLANTS.map(({ name }) => name).join(', ')}`,
    );
  if (plant !== null && process.env['JARVIS_TEST_DIST'] === '1')
    throw invalid(
      '--plant: mistakes are planted in the sources; JARVIS_TEST_DIST=1 runs what was built of them',
    );
  return {
    seed: seed === undefined ? randomInt(MAX_SEED + 1) : wholeNumber('--seed', seed, 0, MAX_SEED),
    seconds: seconds === undefined ? DEFAULT_SECONDS : wholeNumber('--seconds', seconds, 1, MAX_SECONDS),
    directory: path.resolve(out),
    workloads: chosen('--workload', values.workload, WORKLOADS),
    nemesis: chosen('--nemesis', values.nemesis, FAULT_KINDS),
    plant,
    without: values.without === undefined ? [] : named('--without', values.without, Object.keys(JUDGES)),
  };
}

/** The command that does the same again. */
export function commandOf(options: ChaosOptions): string {
  const { seed, seconds, directory, workloads, nemesis, plant, without } = options;
  const words = ['npm run chaos --', `--seed ${seed}`, `--seconds ${seconds}`];
  words.push(`--workload ${workloads.join(',')}`, `--nemesis ${nemesis.join(',') || 'none'}`);
  if (plant !== null) words.push(`--plant ${plant}`);
  if (without.length > 0) words.push(`--without ${without.join(',')}`);
  return [...words, `--out ${directory}`].join(' ');
}

function parse(args: readonly string[]) {
  try {
    const options = {
      seed: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string' },
      workload: { type: 'string' },
      nemesis: { type: 'string' },
      plant: { type: 'string' },
      without: { type: 'string' },
      'list-plants': { type: 'boolean' },
    } as const;
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new JarvisError('invalid', messageOf(error), { cause: error });
  }
}

/** Absent: all that this machine can do. */
function chosen<T extends string>(
  option: string,
  text: string | undefined,
  allowed: readonly T[],
): readonly T[] {
  const obstacle = bedObstacle();
  if (text === undefined) return allowed.filter((name) => obstacle === null || !OF_ENGINES.has(name));
  if (text === 'none') return [];
  const names = named(option, text, allowed);
  const impossible = names.find((name) => obstacle !== null && OF_ENGINES.has(name));
  if (impossible !== undefined) throw invalid(`${option}: ${impossible} cannot be done here: ${obstacle}`);
  return names;
}

function named<T extends string>(option: string, text: string, allowed: readonly T[]): readonly T[] {
  const names = [...new Set(text.split(','))];
  return names.map((name) => {
    const found = allowed.find((each) => each === name);
    if (found !== undefined) return found;
    throw invalid(`${option}: ${JSON.stringify(name)} is not allowed: ${allowed.join(', ')}`);
  });
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value >= least && value <= most) return value;
  throw invalid(`${name}: ${JSON.stringify(text)} is not allowed: a whole number from ${least} to ${most}`);
}

function invalid(message: string): JarvisError {
  return new JarvisError('invalid', message);
}
