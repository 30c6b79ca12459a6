// Everything that must pass, suite by suite; the last line is the sum over all of them.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const reports = mkdtempSync(path.join(tmpdir(), 'jarvis-test-'));
const total = { passed: 0, failed: 0 };
const isCi = process.env.CI === 'true';
// The project's own Node comes first, whatever started this script.
const env = {
  ...process.env,
  PATH: `${path.join(root, 'node_modules/.bin')}${path.delimiter}${process.env.PATH}`,
};

/**
 * The same files get the same seeds, so that two runs of one commit agree, and the next commit looks elsewhere. Where there
 * is no repository, any.
 */
function seedOfTree() {
  const { stdout } = spawnSync('git', ['rev-parse', 'HEAD^{tree}'], { cwd: root, encoding: 'utf8' });
  const digits = /^[\da-f]{7}/.exec(stdout ?? '')?.[0];
  return digits === undefined ? Math.floor(Math.random() * 2 ** 28) : Number.parseInt(digits, 16);
}

/** What went wrong, told once more at the end: the output of all suites is long, and its middle is seldom kept. */
const failures = [];

function fail(name, detail = '') {
  total.failed += 1;
  failures.push(`FAILED: ${name}\n${detail}`);
}

const TAIL = 4096;
let tail = '';

/** Runs a program, passes on what it writes, and keeps the end of that in `tail`. */
async function run(name, command, args) {
  console.log(`\n=== ${name}: ${[command, ...args].join(' ')}`);
  tail = '';
  const child = spawn(command, args, { cwd: root, stdio: ['inherit', 'pipe', 'pipe'], env });
  const pass = (from, to) =>
    from.on('data', (chunk) => {
      tail = (tail + chunk).slice(-TAIL);
      to.write(chunk);
    });
  pass(child.stdout, process.stdout);
  pass(child.stderr, process.stderr);
  return new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(error.message);
      tail = error.message;
      resolve(1);
    });
    child.on('close', (status) => resolve(status ?? 1));
    // Something it has left behind may hold its pipes open; that is not waited for.
    child.on('exit', (status) => setTimeout(resolve, 5000, status ?? 1).unref());
  });
}

/** A suite that is one check: it passes or it fails. */
async function step(name, command, args) {
  if ((await run(name, command, args)) === 0) total.passed += 1;
  else fail(name, tail);
}

/** The tests of a report that failed, each with the beginning of its message. */
function failedTests(report) {
  const MESSAGE = 1200;
  const told = (test) => `${test.fullName}\n${test.failureMessages.join('\n').slice(0, MESSAGE)}`;
  return report.testResults.flatMap((file) => {
    const failed = file.assertionResults.filter((test) => test.status === 'failed').map(told);
    if (failed.length === 0 && file.status === 'failed') failed.push(file.message.slice(0, MESSAGE));
    return failed.map((text) => `${path.relative(root, file.name)}: ${text}`);
  });
}

async function vitest(name) {
  const file = path.join(reports, `${name}.json`);
  const status = await run(name, 'vitest', [
    'run',
    '--project',
    name,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
  ]);
  if (!existsSync(file)) {
    fail(name, `left no report\n${tail}`);
    return;
  }
  const report = JSON.parse(readFileSync(file, 'utf8'));
  total.passed += report.numPassedTests;
  if (status === 0) return;
  // A file that does not load, or an error outside any test, counts as well.
  total.failed += Math.max(report.numFailedTests, 1) - 1;
  const told = failedTests(report);
  fail(name, told.length === 0 ? tail : told.join('\n\n'));
}

/** The suites with a real container engine; where there can be none the reason is printed, and with CI=true that fails. */
async function docker() {
  const CANNOT_RUN_HERE = 3;
  const status = await run('docker programs', 'node', ['scripts/test-bed.mjs']);
  if (status === CANNOT_RUN_HERE) return;
  if (status === 0) await vitest('docker');
  else fail('docker programs', tail);
}

/**
 * Real processes; in some of them the disk is made to fail, some are called with curl, and metrics are judged by promtool. Where
 * one cannot be the reason is printed and those are left out, and with CI=true that fails.
 */
async function integration() {
  const CANNOT_RUN_HERE = 3;
  for (const [name, suite] of [
    ['programs of failing disks', 'faults'],
    ['programs of examples', 'examples'],
    ['programs of metrics', 'metrics'],
  ]) {
    const status = await run(name, 'node', ['scripts/test-bed.mjs', suite]);
    if (status !== 0 && status !== CANNOT_RUN_HERE) fail(name, tail);
  }
  await vitest('integration');
}

/** A few real power cuts; where none can be had the reason is printed, and with CI=true that fails. */
async function power(seed) {
  const CANNOT_RUN_HERE = 3;
  const programs = await run('power programs', 'node', ['scripts/test-bed.mjs', 'power']);
  if (programs === CANNOT_RUN_HERE) return;
  const args = ['test/power/main.ts', '--count', '3', '--seed', seed];
  const status = programs === 0 ? await run('power cuts', 'node', args) : programs;
  if (status === CANNOT_RUN_HERE) return;
  if (status === 0) total.passed += 1;
  else fail('power cuts', tail);
}

try {
  await step('build', 'node', ['scripts/build.mjs']);
  await step('format', 'oxfmt', ['--check', '.']);
  await step('lint', 'oxlint', ['--type-aware', '--deny-warnings']);
  await step('types', 'tsc', ['--noEmit', '-p', 'tsconfig.json']);
  await step('dead code', 'knip', []);
  await step('what is generated', 'node', ['scripts/generate.mjs', '--check']);
  await vitest('unit');
  await integration();
  await vitest('sim');
  const seed = String(seedOfTree());
  await step('simulation', 'node', [
    'test/sim/main.ts',
    '--failed-seeds',
    '--seed',
    process.env.SIM_SEED ?? seed,
    '--count',
    process.env.SIM_COUNT ?? (isCi ? '500' : '60'),
  ]);
  // Three minutes on two processors: for CI, and for whoever works on the simulator. Only the rarest need over 400 seeds.
  if (isCi)
    await step('mutants', 'node', ['test/sim/main.ts', '--all-mutants', '--seed', '1', '--count', '2000']);
  await step('fuzzing', 'node', [
    'test/fuzz/main.ts',
    '--seed',
    process.env.FUZZ_SEED ?? seed,
    '--count',
    process.env.FUZZ_COUNT ?? (isCi ? '50000' : '10000'),
  ]);
  await docker();
  const faultSeed = process.env.CHAOS_SEED ?? seed;
  await power(faultSeed);
  await step('chaos', 'node', [
    'test/chaos/main.ts',
    '--seed',
    faultSeed,
    '--seconds',
    '30',
    '--out',
    path.join(reports, 'chaos'),
  ]);
} finally {
  rmSync(reports, { recursive: true, force: true });
}
for (const failure of failures) console.log(`\n${failure}`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
