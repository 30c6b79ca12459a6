/**
 * `npm run power -- --count N --seed S`: cuts the power of the disks of a cluster that is written to, starts it again,
 * and judges what it kept. Exits with 1 where a promise is broken, with 2 for a bad command line, with 3 where this
 * machine cannot do it (with CI=true that is 1).
 */
import { JarvisError } from '../../src/lib/errors.ts';
import { powerObstacle } from './obstacle.ts';
import { parseOptions, USAGE, type PowerOptions } from './options.ts';
import { runPowerCuts } from './run.ts';

const FAULTS_SHOWN = 30;
const SKIPPED = 3;

function optionsOrNull(): PowerOptions | null {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof JarvisError)) throw error;
    console.error(`power: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}\n${USAGE}`);
    return null;
  }
}

const options = optionsOrNull();
if (options === null) process.exit(2);
const obstacle = await powerObstacle();
if (obstacle !== null) {
  const isFailure = process.env['CI'] === 'true';
  console.error(`power: ${isFailure ? 'cannot run' : 'skipped'}: ${obstacle}`);
  process.exit(isFailure ? 1 : SKIPPED);
}
const { seed, count } = options;
console.log(`power: seed ${seed}, ${count} cuts`);
const { cuts, acknowledged, faults } = await runPowerCuts(options, (message) =>
  console.log(`power: ${message}`),
);
for (const fault of faults.slice(0, FAULTS_SHOWN)) console.error(`FAULT ${fault}`);
if (faults.length > FAULTS_SHOWN) console.error(`and ${faults.length - FAULTS_SHOWN} more`);
console.log(`power: ${cuts} cuts, ${acknowledged} acknowledged writes looked for after each`);
if (faults.length === 0) console.log(`PASS seed ${seed}`);
else console.error(`FAIL seed ${seed}; again: npm run power -- --seed ${seed} --count ${count}`);
process.exit(faults.length === 0 ? 0 : 1);
