// Installs what the suites with real containers need, or with `power` the power cuts, or with `faults` the disks that
// fail, or with `examples` what the examples of the API are typed with, or with `metrics` what judges metrics, where it may: as
// root on Debian and its kin. It starts no service.
// Prints one line; exits 0 when the suites can run, 3 when they must be skipped (never with CI=true), else 1.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

import { EXAMPLE_PROGRAMS } from '../test/support/api-examples.ts';
import { missingPrograms } from '../test/support/docker-bed/programs.ts';
import { FAULT_PROGRAMS } from '../test/support/fault-injection.ts';
import { PROMETHEUS_PROGRAMS } from '../test/support/prometheus.ts';
import { POWER_PROGRAMS } from '../test/power/programs.ts';

const INSTALL_DEADLINE_MS = 10 * 60_000;
const SKIPPED = 3;
const POLICY = '/usr/sbin/policy-rc.d';
const SAVED_POLICY = `${POLICY}.saved-by-jarvis-test-bed`;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** Services that these packages bring and enable; the tests start programs of their own instead. */
const UNITS = [
  'docker.service',
  'docker.socket',
  'containerd.service',
  'docker-registry.service',
  'prometheus.service',
  'prometheus-alertmanager.service',
];

const SUITES = {
  docker: {
    title: 'docker suites',
    missing: () => missingPrograms(),
    linux: 'containers need Linux',
    root: 'a private dockerd needs root',
  },
  power: {
    title: 'power cuts',
    missing: () => missingPrograms(POWER_PROGRAMS),
    linux: 'loop devices need Linux',
    root: 'mounting needs root',
  },
  faults: {
    title: 'disks that fail',
    missing: () => missingPrograms(FAULT_PROGRAMS),
    linux: 'strace needs Linux',
    root: 'tracing another process needs root',
  },
  // They need nothing once the program is there.
  examples: { title: 'examples of the API', missing: () => missingPrograms(EXAMPLE_PROGRAMS) },
  metrics: { title: 'metrics', missing: () => missingPrograms(PROMETHEUS_PROGRAMS) },
};
const suite = SUITES[process.argv[2] ?? 'docker'];
if (suite === undefined) {
  console.error(`${process.argv[2]} is not allowed: ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}

/** @returns {string | null} why nothing can be installed here */
function obstacle() {
  const isMissing = suite.missing().length > 0;
  if (suite.linux !== undefined && process.platform !== 'linux')
    return `${suite.linux}, this is ${process.platform}`;
  if (process.getuid?.() !== 0 && (suite.root !== undefined || isMissing))
    return suite.root ?? 'installing packages needs root';
  if (isMissing && !isDebian()) return 'packages are installed on Debian only';
  return null;
}

function isDebian() {
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/etc/os-release')) return false;
  return /^ID(?:_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
}

function apt(...args) {
  const { status, signal, error, stdout, stderr } = spawnSync('apt-get', ['-q', ...args], {
    encoding: 'utf8',
    timeout: INSTALL_DEADLINE_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' },
  });
  if (status === 0) return;
  const tail = `${stdout ?? ''}${stderr ?? ''}`.trimEnd().split('\n').slice(-20).join('\n');
  const how = error?.message ?? (signal === null ? `exit ${status}` : signal);
  throw new Error(`apt-get ${args.join(' ')}: ${how}\n${tail}`);
}

function ignore() {}

/**
 * Without this, a package that brings a daemon starts it. A file that was there before comes back, also one that a killed
 * run has left aside.
 */
function withoutStartingServices(action) {
  if (existsSync(POLICY) && !existsSync(SAVED_POLICY)) renameSync(POLICY, SAVED_POLICY);
  // The child that runs meanwhile has the signal as well: it ends, and then the file is put back.
  for (const signal of SIGNALS) process.on(signal, ignore);
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    action();
  } finally {
    rmSync(POLICY, { force: true });
    if (existsSync(SAVED_POLICY)) renameSync(SAVED_POLICY, POLICY);
    for (const signal of SIGNALS) process.off(signal, ignore);
  }
}

/** What the packages enabled would else run from the next boot on. */
function disable(units) {
  if (units.length === 0 || !existsSync('/run/systemd/system')) return;
  spawnSync('systemctl', ['disable', '--quiet', ...units], { stdio: 'ignore' });
}

function unitExists(unit) {
  return existsSync(`/lib/systemd/system/${unit}`);
}

function install(packages) {
  const unitsBefore = new Set(UNITS.filter(unitExists));
  console.log(`${suite.title}: installing ${packages.join(', ')}`);
  withoutStartingServices(() => {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  });
  disable(UNITS.filter((unit) => unitExists(unit) && !unitsBefore.has(unit)));
}

/** @returns {number} the exit code */
function main() {
  const reason = obstacle();
  if (reason !== null) {
    const isFailure = process.env.CI === 'true';
    console.log(`${suite.title}: ${isFailure ? 'cannot run' : 'skipped'}: ${reason}`);
    return isFailure ? 1 : SKIPPED;
  }
  const missing = suite.missing();
  if (missing.length > 0) install([...new Set(missing.map(({ packageName }) => packageName))]);
  const still = suite.missing().map(({ name }) => name);
  if (still.length > 0) throw new Error(`still missing after the installation: ${still.join(', ')}`);
  console.log(`${suite.title}: all programs are there`);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(`${suite.title}: ${error.message}`);
  process.exitCode = 1;
}
