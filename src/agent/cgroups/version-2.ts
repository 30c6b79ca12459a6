/** Process groups on control groups of version 2: one hierarchy, whose groups are killed by one write. */
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';
import type { Hierarchy } from './hierarchies.ts';
import {
  homeOf,
  killPid,
  pidsBelow,
  readOrEmpty,
  removeBelow,
  subfolders,
  writeControl,
} from './hierarchies.ts';
import { CPU_PERIOD_US, CPU_WEIGHT, cpuQuotaUs, failAt, refuseUnlimitable } from './group-limits.ts';
import type { GroupLimits, LimitName, ProcessGroups, Removed } from './process-groups.ts';

const LIMITING: readonly LimitName[] = ['cpu', 'memory', 'pids'];

interface Place {
  /** Of the mounted hierarchy. */
  readonly folder: string;
  /** The group, from there, below which those of attempts are made; empty: the root. */
  readonly base: string;
  /** Of the group that this process began in. */
  readonly home: string;
}

export class Version2Groups implements ProcessGroups {
  readonly version = 2;
  readonly limitable: ReadonlySet<LimitName>;
  readonly #place: Place;

  private constructor(place: Place) {
    this.#place = place;
    this.limitable = enableControllers(path.join(place.folder, place.base));
  }

  /**
   * Places where it might work, the best first: the root; above the own group, where a service manager gave that part of
   * the tree to this service (and its processes a group of their own in it); the own group, which limits nothing, because
   * a group that limits what is below it may hold no process itself.
   */
  static *find(hierarchies: readonly Hierarchy[], membership: string): Iterable<Version2Groups> {
    const found = hierarchies.find(({ version }) => version === 2);
    const home = found === undefined ? null : homeOf(found, membership);
    if (found === undefined || home === null) return;
    const { folder } = found;
    const bases = [folder, path.dirname(home), home].filter(
      (candidate) => candidate === folder || candidate.startsWith(`${folder}/`),
    );
    for (const base of new Set(bases))
      yield new Version2Groups({ folder, home, base: base.slice(folder.length) });
  }

  groupOf(name: string): string {
    return `${this.#place.base}/${name}`;
  }

  groupsBeginning(prefix: string): readonly string[] {
    const { folder, base } = this.#place;
    return subfolders(path.join(folder, base))
      .filter((name) => name.startsWith(prefix))
      .map((name) => this.groupOf(name));
  }

  enclose<T>(group: string, limits: GroupLimits, spawn: () => T): T {
    refuseUnlimitable(limits, this.limitable);
    failAt('make', group, () => mkdirSync(this.#folderOf(group)));
    // All threads of this process count as long as it is inside.
    if (limits.pids !== null)
      this.#write('limit pids of', group, 'pids.max', limits.pids + readdirSync('/proc/self/task').length);
    let result: T;
    try {
      failAt('enter', group, () => move(this.#folderOf(group)));
      result = spawn();
    } finally {
      this.#leave();
    }
    this.#limit(group, limits);
    return result;
  }

  #limit(group: string, { cpuMillis, memoryBytes, pids }: GroupLimits): void {
    if (pids !== null) this.#write('limit pids of', group, 'pids.max', pids);
    if (this.limitable.has('cpu')) this.#write('weigh', group, 'cpu.weight', CPU_WEIGHT.version2);
    if (cpuMillis !== null)
      this.#write('limit cpu of', group, 'cpu.max', `${cpuQuotaUs(cpuMillis)} ${CPU_PERIOD_US}`);
    if (memoryBytes === null) return;
    this.#write('limit memory of', group, 'memory.max', memoryBytes);
    // Absent where the kernel does not count swap: then there is none to be kept from.
    if (readOrEmpty(path.join(this.#folderOf(group), 'memory.swap.max')) !== '')
      this.#write('limit swap of', group, 'memory.swap.max', 0);
  }

  #write(what: string, group: string, file: string, value: number | string): void {
    failAt(what, group, () => writeFileSync(path.join(this.#folderOf(group), file), String(value)));
  }

  prepare(group: string): void {
    failAt('make', group, () => mkdirSync(this.#folderOf(group), { recursive: true }));
  }

  async freeze(group: string): Promise<void> {
    this.#signal(group, 'cgroup.freeze', '1');
  }

  async kill(group: string): Promise<void> {
    if (pidsBelow(this.#folderOf(group)).includes(process.pid)) this.#leave();
    // All of it at once, what it forks meanwhile and groups below it included (since Linux 5.14).
    if (this.#signal(group, 'cgroup.kill', '1')) return;
    // What is frozen in this version dies of a KILL all the same: it is never thawed [HELD].
    this.#signal(group, 'cgroup.freeze', '1');
    for (const pid of pidsBelow(this.#folderOf(group))) killPid(pid);
  }

  isOccupied(group: string): boolean {
    return pidsBelow(this.#folderOf(group)).length > 0;
  }

  remove(group: string): Removed | null {
    const events = readOrEmpty(path.join(this.#folderOf(group), 'memory.events'));
    if (!removeBelow(this.#folderOf(group))) return null;
    return { outOfMemory: /^oom_kill [1-9]/m.test(events) };
  }

  #folderOf(group: string): string {
    return path.join(this.#place.folder, group);
  }

  #leave(): void {
    const { folder, home } = this.#place;
    try {
      move(home);
    } catch {
      // That group was removed: but not to stay in one that will be killed.
      move(folder);
    }
  }

  /** @returns false where there is no such group, or no such file in this kernel */
  #signal(group: string, file: string, value: string): boolean {
    try {
      writeControl(path.join(this.#folderOf(group), file), value);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENODEV')) return false;
      throw error;
    }
  }
}

/** @returns those that groups below it have */
function enableControllers(folder: string): ReadonlySet<LimitName> {
  const file = path.join(folder, 'cgroup.subtree_control');
  const enabled = (): readonly string[] => readOrEmpty(file).trim().split(/\s+/);
  for (const name of LIMITING.filter((each) => !enabled().includes(each))) {
    try {
      writeControl(file, `+${name}`);
    } catch {
      // Not given to this group, or there are processes in it: then this cannot be limited, which is said where it is wanted.
    }
  }
  return new Set(LIMITING.filter((name) => enabled().includes(name)));
}

/** This process, whole: in this version threads have no group of their own where memory is limited. */
function move(folder: string): void {
  const procs = openSync(path.join(folder, 'cgroup.procs'), 'w');
  try {
    writeSync(procs, '0');
  } finally {
    closeSync(procs);
  }
}
