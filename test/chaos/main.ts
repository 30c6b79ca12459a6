/**
 * `npm run chaos -- --seed S --seconds N --out DIR`: real nodes are killed and paused under load, as the seed says, and
 * the promises are judged afterwards. Exits with 1 where a judge finds fault, with 2 for a bad command line.
 */
import { JarvisError } from '../../src/lib/errors.ts';
import { parseOptions, USAGE, type ChaosOptions } from './options.ts';
import { runChaos } from './run.ts';

const FINDINGS_SHOWN = 30;

function optionsOrNull(): ChaosOptions | null {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    console.error(`chaos: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}\n${USAGE}`);
    return null;
  }
}

const options = optionsOrNull();
if (options === null) process.exit(2);
const { seed, seconds, directory } = options;
console.log(`chaos: seed ${seed}, ${seconds} s`);
const { passed, findings, counts, tookMs } = await runChaos(options);
console.log(`chaos: ${JSON.stringify(counts)}, took ${Math.round(tookMs / 1000)} s`);
for (const { judge, message } of findings.slice(0, FINDINGS_SHOWN))
  console.error(`FAULT ${judge}: ${message}`);
if (findings.length > FINDINGS_SHOWN)
  console.error(`and ${findings.length - FINDINGS_SHOWN} more, see report.json`);
if (passed) console.log(`PASS seed ${seed}`);
else
  console.error(
    `FAIL seed ${seed}; again: npm run chaos -- --seed ${seed} --seconds ${seconds} --out ${directory}`,
  );
process.exit(passed ? 0 : 1);
