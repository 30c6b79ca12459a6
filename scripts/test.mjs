// Everything that must pass, suite by suite; the last line is the sum over all of them.
import { spawnSync } from 'node:child_process';
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

function run(name, command, args) {
  console.log(`\n=== ${name}: ${[command, ...args].join(' ')}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (error !== undefined) console.error(error.message);
  return status ?? 1;
}

/** A suite that is one check: it passes or it fails. */
function step(name, command, args) {
  if (run(name, command, args) === 0) total.passed += 1;
  else {
    total.failed += 1;
    console.error(`FAILED: ${name}`);
  }
}

function vitest(name) {
  const report = path.join(reports, `${name}.json`);
  const status = run(name, 'vitest', [
    'run',
    '--project',
    name,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) {
    console.error(`FAILED: ${name} left no report`);
    total.failed += 1;
    return;
  }
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'));
  total.passed += numPassedTests;
  total.failed += numFailedTests;
  // A file that does not load, or an error outside any test, counts as well.
  if (status !== 0 && numFailedTests === 0) total.failed += 1;
}

/** The suites with a real container engine; where there can be none the reason is printed, and with CI=true that fails. */
function docker() {
  const CANNOT_RUN_HERE = 3;
  const status = run('docker programs', 'node', ['scripts/test-bed.mjs']);
  if (status === CANNOT_RUN_HERE) return;
  if (status === 0) vitest('docker');
  else {
    total.failed += 1;
    console.error('FAILED: docker programs');
  }
}

/**
 * Real processes; in some of them the disk is made to fail. Where it cannot be the reason is printed and those are left
 * out, and with CI=true that fails.
 */
function integration() {
  const CANNOT_RUN_HERE = 3;
  const programs = run('programs of failing disks', 'node', ['scripts/test-bed.mjs', 'faults']);
  if (programs !== 0 && programs !== CANNOT_RUN_HERE) {
    total.failed += 1;
    console.error('FAILED: programs of failing disks');
  }
  vitest('integration');
}

/** A few real power cuts; where none can be had the reason is printed, and with CI=true that fails. */
function power(seed) {
  const CANNOT_RUN_HERE = 3;
  const programs = run('power programs', 'node', ['scripts/test-bed.mjs', 'power']);
  if (programs === CANNOT_RUN_HERE) return;
  const args = ['test/power/main.ts', '--count', '3', '--seed', seed];
  const status = programs === 0 ? run('power cuts', 'node', args) : programs;
  if (status === CANNOT_RUN_HERE) return;
  if (status === 0) total.passed += 1;
  else {
    total.failed += 1;
    console.error('FAILED: power cuts');
  }
}

try {
  step('build', 'node', ['scripts/build.mjs']);
  step('format', 'oxfmt', ['--check', '.']);
  step('lint', 'oxlint', ['--type-aware', '--deny-warnings']);
  step('types', 'tsc', ['--noEmit', '-p', 'tsconfig.json']);
  step('dead code', 'knip', []);
  step('generated code', 'node', ['scripts/generate-proto.mjs', '--check']);
  vitest('unit');
  integration();
  vitest('sim');
  const simSeed = process.env.SIM_SEED ?? String(Math.floor(Math.random() * 2 ** 32));
  step('simulation', 'node', [
    'test/sim/main.ts',
    '--failed-seeds',
    '--seed',
    simSeed,
    '--seconds',
    process.env.SIM_SECONDS ?? (isCi ? '150' : '20'),
  ]);
  // Three minutes on two processors: for CI, and for whoever works on the simulator. Only the rarest need over 400 seeds.
  if (isCi) step('mutants', 'node', ['test/sim/main.ts', '--all-mutants', '--seed', '1', '--count', '2000']);
  docker();
  const seed = process.env.CHAOS_SEED ?? String(Math.floor(Math.random() * 2 ** 31));
  power(seed);
  step('chaos', 'node', [
    'test/chaos/main.ts',
    '--seed',
    seed,
    '--seconds',
    '30',
    '--out',
    path.join(reports, 'chaos'),
  ]);
} finally {
  rmSync(reports, { recursive: true, force: true });
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
