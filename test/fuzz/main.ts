/**
 * `npm run fuzz -- [--seed S] [--count N | --seconds T] [--target NAME,…] [--list-targets] [--plant NAME]`: random and
 * damaged input for everything that reads what others wrote. Exits with 1 where an input crashes, hangs, or makes memory
 * grow, with 2 for a bad command line.
 */
import { JarvisError } from '../../src/lib/errors.ts';
import { parseOptions, USAGE, type FuzzOptions } from './options.ts';
import { PLANTS } from './plants.ts';
import type { Finding, TargetReport } from './run.ts';
import { inputAt } from './run.ts';
import { supervise } from './supervise.ts';
import type { Target } from './target.ts';

function optionsOrNull(): FuzzOptions | null {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    console.error(`fuzz: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}; ${USAGE}`);
    return null;
  }
}

async function main(): Promise<number> {
  const options = optionsOrNull();
  if (options === null) return 2;
  const { targets } = options;
  if (options.listTargets) {
    for (const { name, what } of targets) console.log(`${name}  ${what}`);
    return 0;
  }
  if (options.listPlants) {
    for (const { name, what } of PLANTS) console.log(`${name}  ${what}`);
    return 0;
  }
  console.log(`fuzz: seed ${options.seed}${options.plant === null ? '' : `, planted ${options.plant}`}`);
  const startMs = performance.now();
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  let inputs = 0;
  let peakBytes = 0;
  for (const target of targets) {
    const { report, finding } = await tried(target, options, target.weight / weights);
    inputs += report.inputs;
    peakBytes = Math.max(peakBytes, process.resourceUsage().maxRSS * 1024);
    if (finding !== null) {
      tell(finding, options.seed);
      return 1;
    }
    console.log(lineOf(target, report));
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const peak = Math.round(peakBytes / 2 ** 20);
  console.log(
    `fuzz: ${inputs} inputs in ${seconds} s, peak ${peak} MiB, nothing found (seed ${options.seed})`,
  );
  return 0;
}

async function tried(
  target: Target,
  { seed, count, seconds, plant, input }: FuzzOptions,
  share: number,
): Promise<{ readonly report: TargetReport; readonly finding: Finding | null }> {
  const { name } = target;
  const result = await supervise({
    target: name,
    seed,
    count: Math.max(1, Math.round(count * share)),
    ms: seconds === null ? null : seconds * 1000 * share,
    plant,
    input: input?.toString('base64') ?? null,
  });
  if (result.type === 'ended') return { report: result.report, finding: result.report.finding };
  const { index } = result;
  const report: TargetReport = { inputs: index + 1, endings: {}, grownBytes: 0, finding: null };
  const message = result.type === 'hung' ? 'it does not end' : result.message;
  const type = result.type === 'hung' ? 'hang' : 'crash';
  const blamed = input ?? (index < 0 ? null : await inputOf(target, seed, index));
  return { report, finding: { type, target: name, index, message, input: blamed?.toString('base64') ?? '' } };
}

/** Made once more, here: the thread that had it is gone. */
async function inputOf(target: Target, seed: number, index: number): Promise<Buffer> {
  const open = await target.open();
  try {
    return inputAt(open, target.name, seed, index);
  } finally {
    await open.close?.();
  }
}

function lineOf({ name }: Target, { inputs, endings, grownBytes }: TargetReport): string {
  const counts = Object.entries(endings)
    .sort(([, a], [, b]) => b - a)
    .map(([ending, count]) => `${ending} ${count}`);
  return `  ${name}: ${inputs} inputs; ${counts.join(', ')}; ${(grownBytes / 2 ** 20).toFixed(1)} MiB grown`;
}

function tell({ type, target, index, message, input }: Finding, seed: number): void {
  console.error(`fuzz: FOUND a ${type} in ${target}, seed ${seed}, input ${index}: ${message}`);
  if (input === '') return;
  console.error(`fuzz: again: npm run fuzz -- --target ${target} --input '${input}'`);
}

// A run that never ends has failed as well: nothing is left that could go on.
process.exitCode = 1;
process.exitCode = await main();
