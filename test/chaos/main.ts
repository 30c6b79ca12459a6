/**
 * `npm run chaos -- --seed S --seconds N --out DIR [--workload W,…] [--nemesis X,…] [--plant NAME] [--list-plants]`: things
 * are done to real nodes under load, as the seed says, and the promises are judged afterwards (docs/chaos.md). Exits with
 * 1 where a judge finds fault, with 2 for a bad command line, with 130 where it was interrupted.
 */
import { JarvisError, messageOf } from '../../src/lib/errors.ts';
import { commandOf, parseOptions, USAGE, type ChaosOptions } from './options.ts';
import { PLANTS } from './plants.ts';
import { reportText } from './report.ts';
import { runChaos } from './run.ts';

const INTERRUPTED = 130;

/** The exit status, where there is nothing to run. */
function optionsOrStatus(): ChaosOptions | number {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options !== null) return options;
    for (const { name, what, judges } of PLANTS) console.log(`${name}  ${what} (${judges.join(', ')})`);
    return 0;
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    console.error(`chaos: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}\n${USAGE}`);
    return 2;
  }
}

async function main(): Promise<number> {
  const options = optionsOrStatus();
  if (typeof options === 'number') return options;
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Told a second time it ends at once, and leaves the cleaning up to those who watch over its directories.
      if (interruption.signal.aborted) process.exit(INTERRUPTED);
      console.error('chaos: interrupted; ending what runs');
      interruption.abort(new Error('interrupted'));
    });
  }
  console.log(`chaos: ${commandOf(options)}`);
  try {
    const report = await runChaos(options, interruption.signal);
    (report.passed ? console.log : console.error)(reportText(report).trimEnd());
    return report.passed ? 0 : 1;
  } catch (error) {
    if (interruption.signal.aborted) return INTERRUPTED;
    console.error(`chaos: ${messageOf(error)}`);
    return 1;
  }
}

process.exit(await main());
