/** Control groups with a process that sleeps in each, as attempts have them; gone with what is in them at the end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { isWritable, parseMounts, type Hierarchy } from '../../src/agent/cgroups/hierarchies.ts';
import { removeCgroup } from '../../test/support/docker-bed/cgroups.ts';
import { guardDirectory } from '../../test/support/guard.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Scope } from '../scope.ts';

const FREEZER = ['freezer'];
const COUNTING = ['freezer', 'cpu', 'cpuacct', 'memory', 'blkio', 'pids'];
const PERIOD_US = 100_000;
const SPAWNS_AT_ONCE = 50;

/** `bare`: of version 1 only what holds and freezes them, as attempts without limits are; `full`: all that counts. */
export type GroupKind = 'bare' | 'full';

export interface MeasuredGroups {
  readonly groups: readonly string[];
  readonly prefix: string;
  /** As /proc/self/cgroup says it, of a group with limits of cpu and memory in which nothing is. */
  readonly membership: string;
}

/** @returns why there can be none here */
export function groupsObstacle(): string | null {
  if (process.platform !== 'linux') return `control groups need Linux, this is ${process.platform}`;
  const all = hierarchies('full');
  if (all.length === 0) return 'no control groups are mounted that count cpu and memory';
  const closed = all.find(({ folder }) => !isWritable(folder));
  return closed === undefined ? null : `${closed.folder} may not be written`;
}

/** Each once: several controllers may share a hierarchy. */
function hierarchies(kind: GroupKind): readonly Hierarchy[] {
  const mounts = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const wanted = kind === 'bare' ? FREEZER : COUNTING;
  const first = mounts.filter(
    ({ version, controllers }) => version === 1 && controllers.some((name) => wanted.includes(name)),
  );
  return first.length > 0 ? first : mounts.filter(({ version }) => version === 2).slice(0, 1);
}

export async function startMeasuredGroups(
  scope: Scope,
  count: number,
  kind: GroupKind,
): Promise<MeasuredGroups> {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-bench-monitor-'));
  const guard = guardDirectory(directory);
  // The guard knows such groups by their name.
  const prefix = `jarvis-process-${path.basename(directory)}-`;
  const names = Array.from({ length: count }, (_, at) => `${prefix}${at}`);
  const home = `${prefix}home`;
  const children: ChildProcess[] = [];
  await scope.own({
    start: async () => {
      confine(home);
      for (let at = 0; at < count; at += SPAWNS_AT_ONCE) {
        const some = names.slice(at, at + SPAWNS_AT_ONCE);
        children.push(...(await Promise.all(some.map((name) => sleeper(name, kind, directory)))));
      }
    },
    end: async () => {
      await Promise.all(children.map(ended));
      const all = [...names, home].map((name) => `/${name}`);
      await waitFor('the groups to be removed', () => all.map(removeCgroup).every(Boolean));
      await rm(directory, { recursive: true, force: true });
      await guard.dismiss();
    },
  });
  const groups = names.map((name) => `/${name}`);
  return { groups, prefix, membership: membershipOf(home) };
}

async function sleeper(name: string, kind: GroupKind, directory: string): Promise<ChildProcess> {
  const folders = hierarchies(kind).map(({ folder }) => path.join(folder, name));
  for (const folder of folders) mkdirSync(folder);
  const child = spawn('sleep', ['infinity'], {
    stdio: 'ignore',
    env: { ...process.env, JARVIS_BENCH: `${directory}/` },
  });
  await once(child, 'spawn');
  for (const folder of folders) writeFileSync(path.join(folder, 'cgroup.procs'), String(child.pid));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await exit;
}

function confine(name: string): void {
  for (const { version, controllers, folder } of hierarchies('full')) {
    if (version === 2) writeFileSync(path.join(folder, 'cgroup.subtree_control'), '+cpu +memory +io +pids');
    const group = path.join(folder, name);
    mkdirSync(group);
    for (const [file, value] of limitsOf(version, controllers)) writeFileSync(path.join(group, file), value);
  }
}

function limitsOf(version: 1 | 2, controllers: readonly string[]): readonly (readonly [string, string])[] {
  const memory = String(2 ** 30);
  if (version === 2)
    return [
      ['cpu.max', `${PERIOD_US} ${PERIOD_US}`],
      ['memory.max', memory],
    ];
  return [
    ...(controllers.includes('cpu') ? ([['cpu.cfs_quota_us', String(PERIOD_US)]] as const) : []),
    ...(controllers.includes('memory') ? ([['memory.limit_in_bytes', memory]] as const) : []),
  ];
}

function membershipOf(name: string): string {
  return hierarchies('full')
    .map(({ version, controllers }, at) =>
      version === 2
        ? `0::/${name}`
        : `${at + 1}:${controllers.filter((one) => one !== 'rw').join(',')}:/${name}`,
    )
    .join('\n');
}
