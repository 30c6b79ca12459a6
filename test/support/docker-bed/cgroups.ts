/**
 * Control groups as the engine and the tests use them, by a path such as `/jarvis-bed-1/attempt`: one folder in every
 * hierarchy of version 1, or in the only one of version 2.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { waitFor } from '../wait.ts';

type CgroupVersion = 1 | 2;

interface Hierarchy {
  readonly version: CgroupVersion;
  readonly folder: string;
  readonly controllers: readonly string[];
}

/** Which version freezes and limits here; version 2 beside version 1 has no controllers worth the name. */
function cgroupVersion(): CgroupVersion {
  return hierarchies().some(({ version }) => version === 1) ? 1 : 2;
}

/** Those folders of the path that exist. */
export function cgroupFolders(cgroupPath: string): readonly string[] {
  return hierarchies()
    .map(({ folder }) => path.join(folder, cgroupPath))
    .filter((folder) => existsSync(folder));
}

/** The paths of all groups, in any hierarchy, that have one of the names as their last part. */
export function findCgroups(names: ReadonlySet<string>): readonly string[] {
  return findGroups((name) => names.has(name));
}

/** The same by how that last part begins. */
export function findCgroupsBeginning(prefix: string): readonly string[] {
  return findGroups((name) => name.startsWith(prefix));
}

function findGroups(isMeant: (name: string) => boolean): readonly string[] {
  const found = new Set<string>();
  for (const { folder } of hierarchies()) {
    for (const inside of descendants(folder)) {
      if (isMeant(path.basename(inside))) found.add(inside.slice(folder.length));
    }
  }
  return [...found];
}

/** What is in the group and in those below it, by the pids of the host. */
export function cgroupPids(cgroupPath: string): readonly number[] {
  const pids = new Set<number>();
  for (const folder of cgroupFolders(cgroupPath)) {
    for (const inside of [folder, ...descendants(folder)]) {
      for (const line of read(path.join(inside, 'cgroup.procs')).split('\n')) {
        if (line !== '') pids.add(Number(line));
      }
    }
  }
  return [...pids];
}

/** Makes the group where it is frozen; resolves once the kernel says that all of it is. */
export async function freezeCgroup(cgroupPath: string): Promise<void> {
  const folder = freezerFolder(cgroupPath);
  mkdirSync(folder, { recursive: true });
  setFrozen(folder, true);
  await waitFor(`${cgroupPath} to freeze`, () => isFrozen(folder), { intervalMs: 10 });
}

/** Nothing where the group is gone. */
export function thawCgroup(cgroupPath: string): void {
  const folder = freezerFolder(cgroupPath);
  if (existsSync(folder)) setFrozen(folder, false);
}

/** Removes the group and those below it in all hierarchies; false where something still holds one of them. */
export function removeCgroup(cgroupPath: string): boolean {
  let isGone = true;
  for (const folder of cgroupFolders(cgroupPath)) {
    for (const inside of [folder, ...descendants(folder)].reverse()) {
      try {
        rmdirSync(inside);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT') isGone = false;
      }
    }
  }
  return isGone;
}

function hierarchies(): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , options = ''] = after.split(' ');
    const folder = before.split(' ')[4];
    if (folder === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    found.push({ version: type === 'cgroup' ? 1 : 2, folder, controllers: options.split(',') });
  }
  return found;
}

function freezerFolder(cgroupPath: string): string {
  const version = cgroupVersion();
  const hierarchy = hierarchies().find(
    (candidate) =>
      candidate.version === version && (version === 2 || candidate.controllers.includes('freezer')),
  );
  if (hierarchy === undefined) throw new Error('no cgroup freezer is mounted');
  return path.join(hierarchy.folder, cgroupPath);
}

function setFrozen(folder: string, frozen: boolean): void {
  const [file, value] =
    cgroupVersion() === 1
      ? ['freezer.state', frozen ? 'FROZEN' : 'THAWED']
      : ['cgroup.freeze', frozen ? '1' : '0'];
  try {
    writeFileSync(path.join(folder, file), value);
  } catch (error) {
    // It went while we looked: then nothing in it is frozen either.
    if (frozen || existsSync(folder)) throw error;
  }
}

function isFrozen(folder: string): boolean {
  if (cgroupVersion() === 1) return read(path.join(folder, 'freezer.state')).trim() === 'FROZEN';
  return /^frozen 1$/m.test(read(path.join(folder, 'cgroup.events')));
}

/** Parents before their children. */
function descendants(folder: string): readonly string[] {
  const found: string[] = [];
  const open = [folder];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    for (const inside of subfolders(next)) {
      found.push(inside);
      open.push(inside);
    }
  }
  return found;
}

function subfolders(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(folder, entry.name));
  } catch {
    // Removed since its parent was listed.
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Removed since it was found.
    return '';
  }
}
