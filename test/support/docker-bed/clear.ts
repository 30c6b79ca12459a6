/**
 * Removes all that a bed has made, from what is found on the machine alone: it works after a failure, twice, and in
 * another process than the one that started the bed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { cgroupFolders, cgroupPids, findCgroups, removeCgroup, thawCgroup } from './cgroups.ts';
import { programPath } from './programs.ts';

/** The names of all that a bed makes; they are new for each bed. */
export interface BedRecord {
  readonly directory: string;
  readonly bridge: string;
  /** The cgroup above those containers that ask for none. */
  readonly cgroupParent: string;
}

/** Every program of a bed has it in its environment, set to the bed's directory, and passes it on. */
export const BED_VARIABLE = 'JARVIS_DOCKER_BED';
export const DATA_FOLDER = 'data';

const CLEAR_DEADLINE_MS = 30_000;
const LOOK_INTERVAL_MS = 20;

/** @throws Error naming what is left where something cannot be removed in time */
export async function clearBed(record: BedRecord): Promise<void> {
  const deadlineMs = performance.now() + CLEAR_DEADLINE_MS;
  // Engine and shims first: whatever they were about to start does not come any more, or is found by the next look.
  while (killOnce(record) > 0 && performance.now() < deadlineMs) await delay(LOOK_INTERVAL_MS);
  let failure: unknown = null;
  do {
    try {
      removeOnce(record);
      failure = null;
    } catch (error) {
      failure = error;
    }
    if (tracesOf(record).length === 0) return;
    await delay(LOOK_INTERVAL_MS);
  } while (performance.now() < deadlineMs);
  throw new Error(`left behind: ${tracesOf(record).join(', ')}`, { cause: failure });
}

/** What is there of the bed: nothing after it was cleared. */
export function tracesOf(record: BedRecord): readonly string[] {
  const traces: string[] = [];
  for (const pid of pidsOf(record)) traces.push(`process ${pid} (${commandOf(pid)})`);
  for (const group of groupsOf(record)) traces.push(...cgroupFolders(group));
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(`${record.directory}/`)) traces.push('mounts');
  if (hasBridge(record)) traces.push(`interface ${record.bridge}`);
  if (existsSync(record.directory)) traces.push(record.directory);
  return traces;
}

/** KILL to all of it. A frozen process dies only once it is thawed, and its group may be frozen at any level. */
function killOnce(record: BedRecord): number {
  const pids = pidsOf(record);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  for (const group of groupsOf(record)) {
    for (let level = group; level !== '/'; level = path.dirname(level)) thawCgroup(level);
  }
  return pids.length;
}

/** The order matters: the groups of containers are known by the engine's data, which goes last. */
function removeOnce(record: BedRecord): void {
  const groups = groupsOf(record).map((group) => removeCgroup(group));
  if (groups.includes(false)) throw new Error('a cgroup is still busy');
  if (hasBridge(record)) run('ip', ['link', 'delete', record.bridge]);
  rmSync(record.directory, { recursive: true, force: true });
}

function groupsOf(record: BedRecord): readonly string[] {
  return findCgroups(new Set([path.basename(record.cgroupParent), ...containerIds(record)]));
}

function containerIds(record: BedRecord): readonly string[] {
  const folder = path.join(record.directory, DATA_FOLDER, 'containers');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Zombies are left out: nothing of them runs. */
function pidsOf(record: BedRecord): readonly number[] {
  const pids = new Set(groupsOf(record).flatMap((group) => cgroupPids(group)));
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isSafeInteger(pid) && isOfBed(pid, record)) pids.add(pid);
  }
  // A container without a pid namespace of its own is listed by the host's pids all the same; 0 is nobody we could name.
  return [...pids].filter((pid) => pid > 0 && pid !== process.pid && !isZombie(pid));
}

function isOfBed(pid: number, record: BedRecord): boolean {
  return `\0${read(`/proc/${pid}/environ`)}\0`.includes(`\0${BED_VARIABLE}=${record.directory}\0`);
}

function isZombie(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  const state = stat.charAt(stat.lastIndexOf(')') + 2);
  return state === '' || state === 'Z' || state === 'X';
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim().slice(0, 100);
}

function hasBridge(record: BedRecord): boolean {
  return existsSync(`/sys/class/net/${record.bridge}`) || record.bridge in networkInterfaces();
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    // It ended between being listed and being read, or belongs to somebody else.
    return '';
  }
}

/** @throws Error with what the program said */
export function run(name: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(programPath(name), args, { encoding: 'utf8', timeout: 10_000 });
  if (status === 0) return;
  throw new Error(`${name} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`, { cause: error });
}
