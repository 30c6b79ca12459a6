/**
 * `npm run bench -- [NAME…]`: measures ours against ceilings and peers, side by side. Exits with 0 also where a goal is
 * missed or a benchmark cannot run here (with CI=true the latter is a failure), with 1 where one fails, with 2 for a bad
 * command line, with 130 or 143 where it was interrupted.
 */
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { exitStatusOfInterrupt } from '../src/cli/exit-status.ts';
import { JarvisError, messageOf } from '../src/lib/errors.ts';
import { CATALOGUE } from './catalogue.ts';
import { parseOptions, USAGE, type BenchOptions } from './options.ts';
import { jsonOf, tableOf } from './report.ts';
import { runBenchmarks } from './run.ts';

/** Under npm one Ctrl-C arrives twice: from the terminal, and sent on by npm. */
const SAME_INTERRUPTION_MS = 1000;

function say(message: string): void {
  console.error(message);
}

function optionsOrNull(): BenchOptions | null {
  try {
    const options = parseOptions(process.argv.slice(2), CATALOGUE);
    if (options.jsonFile !== null) checkJsonFile(options.jsonFile);
    return options;
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    say(`bench: ${error.message}`);
    return null;
  }
}

/** The run may take long: better to know before. @throws JarvisError invalid */
function checkJsonFile(file: string): void {
  const folder = statSync(path.dirname(file), { throwIfNoEntry: false });
  const isFolder = statSync(file, { throwIfNoEntry: false })?.isDirectory() === true;
  if (folder?.isDirectory() === true && !isFolder) return;
  const allowed = 'the name of a file in a directory that is there';
  throw new JarvisError('invalid', `--json: ${JSON.stringify(file)} is not allowed: ${allowed}`);
}

/** Aborted by the first signal with its name; a later one does not wait until everything is ended. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  let atMs: number | null = null;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const nowMs = performance.now();
      if (atMs === null) {
        atMs = nowMs;
        say('bench: interrupted; ending what was started …');
        controller.abort(signal);
      } else if (nowMs - atMs > SAME_INTERRUPTION_MS) {
        // Guards and keepers, which outlive this process, remove what is left.
        process.exit(exitStatusOfInterrupt(controller.signal));
      }
    });
  }
  return controller.signal;
}

async function run(options: BenchOptions): Promise<number> {
  const interrupted = interruption();
  const { isQuick, peer, benchmarks, jsonFile } = options;
  const isCi = process.env['CI'] === 'true';
  const { results, hasFailed } = await runBenchmarks(benchmarks, { isQuick, peer, isCi, interrupted, say });
  if (interrupted.aborted) return exitStatusOfInterrupt(interrupted);
  if (results.length > 0) console.log(tableOf(results));
  if (jsonFile === null) return hasFailed ? 1 : 0;
  try {
    writeFileSync(jsonFile, jsonOf(results));
  } catch (error) {
    say(`bench: ${jsonFile} cannot be written: ${messageOf(error)}`);
    return 1;
  }
  return hasFailed ? 1 : 0;
}

function list(withDescriptions: boolean): void {
  if (withDescriptions) console.log(`${USAGE}\n`);
  for (const { name, description } of CATALOGUE) {
    console.log(withDescriptions ? `  ${name.padEnd(10)} ${description}` : name);
  }
}

const options = optionsOrNull();
if (options === null) process.exit(2);
if (options.action === 'run') process.exit(await run(options));
list(options.action === 'help');
