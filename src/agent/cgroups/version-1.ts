/** Process groups on control groups of version 1: one hierarchy freezes, three others limit, where they are mounted. */
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../lib/errors.ts';
import { isErrno } from '../../lib/errno.ts';
import type { Hierarchy } from './hierarchies.ts';
import {
  homeOf,
  killPid,
  pidsBelow,
  readOrEmpty,
  removeBelow,
  subfolders,
  withDescendants,
  writeControl,
} from './hierarchies.ts';
import type { GroupLimits, LimitName, ProcessGroups, Removed } from './process-groups.ts';
import {
  CPU_PERIOD_US,
  CPU_WEIGHT,
  cpuQuotaUs,
  failAt,
  limitsGiven,
  refuseUnlimitable,
} from './group-limits.ts';

/** A hierarchy, and how to come back to where this process was. */
interface Place {
  readonly folder: string;
  /** Open `tasks` files: of the group that this process began in, and of the root. */
  readonly home: number;
  readonly root: number;
}

const OOM_FILE = 'memory.oom_control';
/** To be frozen takes a running process until it next leaves the kernel; one that waits for a disk may take long. */
const FREEZE_TIMEOUT_MS = 100;
const FREEZE_PAUSE_MS = 1;

export class Version1Groups implements ProcessGroups {
  readonly version = 1;
  readonly limitable: ReadonlySet<LimitName>;
  readonly #freezer: Place;
  readonly #limiting: ReadonlyMap<LimitName, Place>;

  private constructor(freezer: Place, limiting: ReadonlyMap<LimitName, Place>) {
    this.#freezer = freezer;
    this.#limiting = limiting;
    this.limitable = new Set(limiting.keys());
  }

  /** @returns null where there is no freezer: without it, nothing that forks is sure to be killed */
  static find(hierarchies: readonly Hierarchy[], membership: string): Version1Groups | null {
    const placeOf = (controller: string): Place | null => {
      const found = hierarchies.find(
        ({ version, controllers }) => version === 1 && controllers.includes(controller),
      );
      return found === undefined ? null : openPlace(found, membership);
    };
    const freezer = placeOf('freezer');
    if (freezer === null) return null;
    const limiting = new Map<LimitName, Place>();
    for (const name of ['cpu', 'pids', 'memory'] as const) {
      const place = placeOf(name);
      if (place !== null) limiting.set(name, place);
    }
    return new Version1Groups(freezer, limiting);
  }

  groupOf(name: string): string {
    return `/${name}`;
  }

  groupsBeginning(prefix: string): readonly string[] {
    const names = this.#places.flatMap(({ folder }) => subfolders(folder));
    return [...new Set(names)].filter((name) => name.startsWith(prefix)).map((name) => this.groupOf(name));
  }

  enclose<T>(group: string, limits: GroupLimits, spawn: () => T): T {
    refuseUnlimitable(limits, this.limitable);
    // Each hierarchy costs a few system calls: only those that are needed are entered.
    const used = [this.#freezer, ...limitsGiven(limits).flatMap((name) => this.#limiting.get(name) ?? [])];
    for (const { folder } of used) failAt('make', group, () => mkdirSync(path.join(folder, group)));
    // The thread that forks counts as long as it is inside.
    if (limits.pids !== null) this.#write('pids', group, 'pids.max', limits.pids + 1);
    let result: T;
    try {
      for (const { folder } of used) failAt('enter', group, () => enter(path.join(folder, group)));
      result = spawn();
    } finally {
      for (const place of used) leave(place);
    }
    this.#limit(group, limits);
    return result;
  }

  #limit(group: string, { cpuMillis, memoryBytes, pids }: GroupLimits): void {
    if (pids !== null) this.#write('pids', group, 'pids.max', pids);
    if (cpuMillis !== null) {
      this.#write('cpu', group, 'cpu.cfs_period_us', CPU_PERIOD_US);
      this.#write('cpu', group, 'cpu.cfs_quota_us', cpuQuotaUs(cpuMillis));
      this.#write('cpu', group, 'cpu.shares', CPU_WEIGHT.version1);
    }
    if (memoryBytes === null) return;
    this.#write('memory', group, 'memory.limit_in_bytes', memoryBytes);
    const place = this.#limiting.get('memory');
    const swap = 'memory.memsw.limit_in_bytes';
    // Absent where the kernel does not count swap: then there is none to be kept from.
    if (place !== undefined && readOrEmpty(path.join(place.folder, group, swap)) !== '')
      this.#write('memory', group, swap, memoryBytes);
  }

  #write(name: LimitName, group: string, file: string, value: number): void {
    const folder = this.#limiting.get(name)?.folder ?? '';
    failAt(`limit ${name} of`, group, () => writeFileSync(path.join(folder, group, file), String(value)));
  }

  prepare(group: string): void {
    failAt('make', group, () => mkdirSync(path.join(this.#freezer.folder, group), { recursive: true }));
  }

  async freeze(group: string): Promise<void> {
    await this.#freeze(group);
  }

  /** @returns false where there is no such group */
  async #freeze(group: string): Promise<boolean> {
    const state = this.#stateOf(group);
    // Should it ever not have come out: it would freeze itself, and nobody would thaw it.
    if (pidsBelow(path.join(this.#freezer.folder, group)).includes(process.pid)) leave(this.#freezer);
    if (!writeState(state, 'FROZEN')) return false;
    const deadlineMs = performance.now() + FREEZE_TIMEOUT_MS;
    while (readOrEmpty(state).trim() === 'FREEZING' && performance.now() < deadlineMs)
      await delay(FREEZE_PAUSE_MS);
    return true;
  }

  #stateOf(group: string): string {
    return path.join(this.#freezer.folder, group, 'freezer.state');
  }

  async kill(group: string): Promise<void> {
    if (!(await this.#freeze(group))) return;
    // What is frozen forks no more; of what is not yet, everything that appears is killed, too: then all that is left has
    // its KILL pending, and none of it executes anything once thawed [HELD].
    const killed = new Set<number>();
    for (;;) {
      const fresh = this.#pids(group).filter((pid) => !killed.has(pid));
      if (fresh.length === 0) break;
      for (const pid of fresh) {
        killPid(pid);
        killed.add(pid);
      }
    }
    // Groups below it too: what is in it, or an engine, may have frozen one on its own account, and in it nothing dies.
    for (const folder of withDescendants(path.join(this.#freezer.folder, group)))
      writeState(path.join(folder, 'freezer.state'), 'THAWED');
  }

  isOccupied(group: string): boolean {
    return this.#pids(group).length > 0;
  }

  remove(group: string): Removed | null {
    if (!removeBelow(path.join(this.#freezer.folder, group))) return null;
    // Most attempts have no limits: to ask first is cheaper than an error.
    const limited = [...this.#limiting]
      .map(([name, { folder }]) => [name, path.join(folder, group)] as const)
      .filter(([, folder]) => existsSync(folder));
    let outOfMemory = false;
    for (const [name, folder] of limited) {
      if (name === 'memory') outOfMemory = /^oom_kill [1-9]/m.test(readOrEmpty(path.join(folder, OOM_FILE)));
      if (!removeBelow(folder)) return null;
    }
    return { outOfMemory };
  }

  get #places(): readonly Place[] {
    return [this.#freezer, ...this.#limiting.values()];
  }

  /** In any of the hierarchies; never this process, whose thread that forks is inside only while nothing else happens. */
  #pids(group: string): readonly number[] {
    const pids = new Set(this.#places.flatMap(({ folder }) => pidsBelow(path.join(folder, group))));
    if (pids.delete(process.pid)) for (const place of this.#places) leave(place);
    return [...pids];
  }
}

function openPlace(hierarchy: Hierarchy, membership: string): Place | null {
  const home = homeOf(hierarchy, membership);
  if (home === null) return null;
  try {
    return {
      folder: hierarchy.folder,
      home: openSync(path.join(home, 'tasks'), 'w'),
      root: openSync(path.join(hierarchy.folder, 'tasks'), 'w'),
    };
  } catch {
    // For whatever reason: it cannot be used.
    return null;
  }
}

/** The thread that forks alone: to move it is cheaper than to move the process, and its group cannot freeze the others. */
function enter(folder: string): void {
  const tasks = openSync(path.join(folder, 'tasks'), 'w');
  try {
    writeSync(tasks, '0');
  } finally {
    closeSync(tasks);
  }
}

function leave({ home, root }: Place): void {
  try {
    writeSync(home, '0');
  } catch {
    // That group was removed: but not to stay in one that will be frozen and killed.
    writeSync(root, '0');
  }
}

/** @returns false where there is no such group */
function writeState(file: string, state: 'FROZEN' | 'THAWED'): boolean {
  try {
    writeControl(file, state);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return false;
    throw new Error(`${state} could not be written to ${file}: ${messageOf(error)}`, { cause: error });
  }
}
