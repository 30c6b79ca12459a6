/** Where control groups are mounted, and how their folders are read, entered and removed. */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';

export interface Hierarchy {
  readonly version: 1 | 2;
  /** What of the whole hierarchy is mounted: `/` where all of it is. */
  readonly root: string;
  readonly folder: string;
  readonly controllers: readonly string[];
}

/** A process that this namespace has no number for. */
export const UNSEEN = '0';

/** @param mountinfo proc_pid_mountinfo(5) */
export function parseMounts(mountinfo: string): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , options = ''] = after.split(' ');
    const [, , , root, folder] = before.split(' ');
    if (root === undefined || folder === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    found.push({ version: type === 'cgroup' ? 1 : 2, root, folder, controllers: options.split(',') });
  }
  return found;
}

/**
 * The folder of the group that this process is in.
 * @param membership /proc/self/cgroup, cgroups(7)
 * @returns null where that group is outside of what is mounted
 */
export function homeOf({ version, root, folder, controllers }: Hierarchy, membership: string): string | null {
  for (const line of membership.split('\n')) {
    const [, list, ...rest] = line.split(':');
    if (list === undefined) continue;
    const isOurs =
      version === 2 ? list === '' : list.split(',').some((name) => name !== '' && controllers.includes(name));
    if (!isOurs) continue;
    const group = rest.join(':');
    const below = path.relative(root, group);
    return below === '..' || below.startsWith('../') ? null : path.join(folder, below);
  }
  return null;
}

export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    // For whatever reason: it cannot be used.
    return false;
  }
}

/** The pids of all that is in the group of that folder and below it; none where it does not exist. */
export function pidsBelow(group: string): readonly number[] {
  return withDescendants(group).flatMap((folder) =>
    readOrEmpty(path.join(folder, 'cgroup.procs'))
      .split('\n')
      .filter((line) => line !== '' && line !== UNSEEN)
      .map(Number),
  );
}

/** To a file that the kernel may let nobody read, and that is never made here. @throws the system's error */
export function writeControl(file: string, value: string): void {
  const descriptor = openSync(file, constants.O_WRONLY);
  try {
    writeSync(descriptor, value);
  } finally {
    closeSync(descriptor);
  }
}

/** SIGKILL, to one that may have ended meanwhile, or be another user's. */
export function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // What may not be killed stays in its group: whoever waits for that to be empty tries again.
    if (!isErrno(error, 'ESRCH', 'EPERM')) throw error;
  }
}

/**
 * Removes a group and those below it. The kernel refuses that while anything runs in it, so `true` is also the proof that
 * nothing does.
 */
export function removeBelow(group: string): boolean {
  // Hardly ever is there anything below it.
  if (removeOne(group)) return true;
  return withDescendants(group)
    .reverse()
    .map((folder) => removeOne(folder))
    .every(Boolean);
}

function removeOne(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return isErrno(error, 'ENOENT');
  }
}

/** Parents before their children; nothing where the folder is not there. */
export function withDescendants(folder: string): string[] {
  const found: string[] = statSync(folder, { throwIfNoEntry: false }) === undefined ? [] : [folder];
  // The list grows while it is walked.
  for (const next of found) for (const name of subfolders(next)) found.push(path.join(next, name));
  return found;
}

export function subfolders(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    // Removed since its parent was listed.
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

export function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // Removed since it was found.
    if (isErrno(error, 'ENOENT', 'ENODEV')) return '';
    throw error;
  }
}
