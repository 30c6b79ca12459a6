/**
 * Control groups by a path such as `/jarvis-1f2e-task-a.7`: one folder in every hierarchy of version 1, or in the only one
 * of version 2. Each attempt of a container has a parent of its own (docs/leases.md, [PERATTEMPT]), so that what is in it
 * can be counted and killed by host pid whatever the engine does.
 */
import { accessSync, constants, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';

interface Hierarchy {
  readonly version: 1 | 2;
  readonly folder: string;
  readonly controllers: readonly string[];
}

/** A process that this namespace has no number for. */
const UNSEEN = '0';
/** Every process is in each hierarchy; where there are several, these are asked first. */
const REFERENCE_CONTROLLERS = ['freezer', 'pids', 'memory'];

export class Cgroups {
  readonly version: 1 | 2;
  readonly #hierarchies: readonly Hierarchy[];
  /** The folder of the hierarchy that tells which processes are in a group. */
  readonly #reference: string;

  private constructor(hierarchies: readonly Hierarchy[]) {
    // Version 2 beside version 1 has no controllers worth the name, but groups are made there, too.
    this.#hierarchies = hierarchies;
    const first = hierarchies.filter(({ version }) => version === 1);
    this.version = first.length > 0 ? 1 : 2;
    const reference = REFERENCE_CONTROLLERS.map((name) =>
      first.find(({ controllers }) => controllers.includes(name)),
    ).find((found) => found !== undefined);
    this.#reference = (reference ?? hierarchies[0])?.folder ?? '';
  }

  /** @returns null where no hierarchy is mounted, or none may be written: then attempts cannot be enclosed */
  static find(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): Cgroups | null {
    const hierarchies = parseMounts(mountinfo);
    if (hierarchies.length === 0) return null;
    const cgroups = new Cgroups(hierarchies);
    return cgroups.#hierarchies.every(({ folder }) => isWritable(folder)) ? cgroups : null;
  }

  /** Whether each process of the machine has a number here: not so in a pid namespace of its own. */
  get seesAll(): boolean {
    return !readOrEmpty(path.join(this.#reference, 'cgroup.procs')).split('\n').includes(UNSEEN);
  }

  /** The host's pids of all that is in the group and below it; none where it does not exist. */
  pids(group: string): readonly number[] {
    const pids = new Set<number>();
    for (const folder of withDescendants(path.join(this.#reference, group))) {
      for (const line of readOrEmpty(path.join(folder, 'cgroup.procs')).split('\n')) {
        if (line !== '' && line !== UNSEEN) pids.add(Number(line));
      }
    }
    return [...pids];
  }

  exists(group: string): boolean {
    return statSync(path.join(this.#reference, group), { throwIfNoEntry: false }) !== undefined;
  }

  /** SIGKILL to all that is in it now. @returns how many that were */
  kill(group: string): number {
    const pids = this.pids(group);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (!isErrno(error, 'ESRCH')) throw error;
      }
    }
    return pids.length;
  }

  /** Removes the group and those below it, in all hierarchies. @returns false where something still holds one of them */
  remove(group: string): boolean {
    let isGone = true;
    for (const { folder } of this.#hierarchies) {
      for (const inside of withDescendants(path.join(folder, group)).reverse()) {
        try {
          rmdirSync(inside);
        } catch (error) {
          if (!isErrno(error, 'ENOENT')) isGone = false;
        }
      }
    }
    return isGone;
  }

  /** Groups directly below the root whose name begins so, in whichever hierarchy. */
  namesBeginning(prefix: string): readonly string[] {
    const names = this.#hierarchies.flatMap(({ folder }) => subfolders(folder));
    return [...new Set(names)].filter((name) => name.startsWith(prefix)).map((name) => `/${name}`);
  }
}

function parseMounts(mountinfo: string): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , options = ''] = after.split(' ');
    const folder = before.split(' ')[4];
    if (folder === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    found.push({ version: type === 'cgroup' ? 1 : 2, folder, controllers: options.split(',') });
  }
  return found;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    // For whatever reason: it cannot be used.
    return false;
  }
}

/** Parents before their children; nothing where the folder is not there. */
function withDescendants(folder: string): string[] {
  const found: string[] = statSync(folder, { throwIfNoEntry: false }) === undefined ? [] : [folder];
  // The list grows while it is walked.
  for (const next of found) for (const name of subfolders(next)) found.push(path.join(next, name));
  return found;
}

function subfolders(folder: string): readonly string[] {
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

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // Removed since it was found.
    if (isErrno(error, 'ENOENT', 'ENODEV')) return '';
    throw error;
  }
}
