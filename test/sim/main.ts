/**
 * `npm run sim -- --seed S --count N [--mutant NAME] [--list-mutants] [--json FILE]`: a cluster in one process, in virtual
 * time, with faults drawn from the seed. Exits with 1 where an invariant breaks, with 2 for a bad command line.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { JarvisError } from '../../src/lib/errors.ts';
import { killAll } from './kill-mutants.ts';
import { MUTANTS } from './mutants.ts';
import { plant } from './mutate.ts';
import { parseOptions, USAGE, type SimOptions } from './options.ts';

function optionsOrNull(): SimOptions | null {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    console.error(`sim: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}; ${USAGE}`);
    return null;
  }
}

/** Seeds that ever failed, one a line; what follows the number says why. */
function failedSeeds(): readonly number[] {
  const text = readFileSync(path.join(import.meta.dirname, 'failed-seeds.txt'), 'utf8');
  return text
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => Number.parseInt(line, 10));
}

function* seedsOf({ seed, count, seconds, failedSeeds: again }: SimOptions): Generator<number> {
  if (again) yield* failedSeeds();
  const endMs = performance.now() + (seconds ?? 0) * 1000;
  for (let at = 0; seconds === null ? at < count : performance.now() < endMs; at += 1)
    yield (seed + at) % 2 ** 32;
}

async function main(): Promise<number> {
  const options = optionsOrNull();
  if (options === null) return 2;
  if (options.listMutants) {
    for (const { name, what } of MUTANTS) console.log(`${name}  ${what}`);
    return 0;
  }
  if (options.allMutants) return (await killAll(options.seed, options.count)) ? 0 : 1;
  const mutant = MUTANTS.find(({ name }) => name === options.mutant);
  if (mutant !== undefined) plant(mutant);
  console.log(`sim: from seed ${options.seed}${mutant === undefined ? '' : `, mutant ${mutant.name}`}`);
  // Loaded only now, so that a mutant is in it.
  const { runSeeds } = await import('./run-seeds.ts');
  const { mutant: planted, json } = options;
  const failedBefore = new Set(failedSeeds());
  const passed = await runSeeds({ seeds: seedsOf(options), failedBefore, mutant: planted, json });
  return passed ? 0 : 1;
}

// A run that never ends has failed as well: nothing is left that could go on.
process.exitCode = 1;
process.exitCode = await main();
