/**
 * Control groups by a path such as `/jarvis-1f2e-task-a.7`: one folder in every hierarchy of version 1, or in the only one
 * of version 2. Each attempt of a container has a parent of its own (docs/leases.md, [PERATTEMPT]), so that what is in it
 * can be counted and killed by host pid whatever the engine does.
 */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import type { Hierarchy } from './hierarchies.ts';
import {
  isWritable,
  killPid,
  parseMounts,
  pidsBelow,
  readOrEmpty,
  removeBelow,
  subfolders,
  UNSEEN,
} from './hierarchies.ts';

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
    return [...new Set(pidsBelow(path.join(this.#reference, group)))];
  }

  exists(group: string): boolean {
    return statSync(path.join(this.#reference, group), { throwIfNoEntry: false }) !== undefined;
  }

  /** SIGKILL to all that is in it now. @returns how many that were */
  kill(group: string): number {
    const pids = this.pids(group);
    for (const pid of pids) killPid(pid);
    return pids.length;
  }

  /** Removes the group and those below it, in all hierarchies. @returns false where something still holds one of them */
  remove(group: string): boolean {
    return this.#hierarchies.map(({ folder }) => removeBelow(path.join(folder, group))).every(Boolean);
  }

  /** Groups directly below the root whose name begins so, in whichever hierarchy. */
  namesBeginning(prefix: string): readonly string[] {
    const names = this.#hierarchies.flatMap(({ folder }) => subfolders(folder));
    return [...new Set(names)].filter((name) => name.startsWith(prefix)).map((name) => `/${name}`);
  }
}
