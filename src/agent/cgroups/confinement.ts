/**
 * The control groups that this node is confined to: the nearest, of its own and those above, with the tightest quota of
 * cpu time or limit of memory, if that is less than the machine has. Such a node offers no more than that, and measures
 * that group rather than the machine. Groups of its attempts that stand outside of it (docs/adr/0005) count as if inside.
 */
import { readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';
import { isWithin } from '../../lib/paths.ts';
import { cpuUsedUs, memoryUsed } from './counters.ts';
import { homeOf, parseMounts, readOrEmpty, type Hierarchy } from './hierarchies.ts';
import { PacedGroups } from './paced-groups.ts';

/** Null, each for itself: nothing less than the machine. */
export interface Bounds {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
}

export interface CpuSample {
  /** Names the group: the same on all nodes that are in it, and no other's on this machine. */
  readonly scope: string;
  readonly quotaMillis: number;
  /** Microseconds that the group has used, and all below it. */
  readonly usedUs: number;
  /** What attempts use whose groups stand outside of it, in thousandths of a processor. */
  readonly outsideMillis: number;
}

export interface ConfinementSample {
  /** Null: not confined, or there is no telling what the group uses. */
  readonly cpu: CpuSample | null;
  readonly memoryBytes: number | null;
  /** How much of it the group may use. */
  readonly memoryLimitBytes: number | null;
}

export interface ConfinementOptions {
  /** What the names of the groups of its attempts begin with. */
  readonly prefixes: readonly string[];
  /** What the machine has: a group that may have as much is no confinement. */
  readonly machine: { readonly cpuMillis: number; readonly memoryBytes: number };
  /** proc_pid_mountinfo(5) */
  readonly mountinfo?: string;
  /** The content of /proc/self/cgroup; asked each time, for a process may be moved. */
  readonly membership?: () => string;
  /** Of this thread, monotonic. */
  readonly nowMs?: () => number;
}

/** One measurement keeps this thread for so long to read what attempts outside use: of cpu, and of memory again. */
const OUTSIDE_BUDGET_MS = 2;
/** An engine that asks systemd puts its groups there. */
const SLICE = 'jarvis.slice';

type Controller = 'cpu' | 'memory';

interface Found {
  readonly hierarchy: Hierarchy;
  readonly home: string;
  /** The folder of the group that confines. */
  readonly folder: string;
  readonly bound: number;
}

/** Where usage is counted. */
interface Counted {
  readonly hierarchy: Hierarchy;
  readonly home: string;
  readonly folder: string;
}

export class Confinement {
  readonly #hierarchies: readonly Hierarchy[];
  readonly #prefixes: readonly string[];
  readonly #machine: ConfinementOptions['machine'];
  readonly #membership: () => string;
  /** Groups of attempts outside, as they were found last. */
  readonly #outsideCpu: Outside;
  readonly #outsideMemory: Outside;

  constructor(options: ConfinementOptions) {
    const { mountinfo = readOrEmpty('/proc/self/mountinfo') } = options;
    this.#hierarchies = parseMounts(mountinfo);
    this.#prefixes = options.prefixes;
    this.#machine = options.machine;
    this.#membership = options.membership ?? (() => readOrEmpty('/proc/self/cgroup'));
    const outside = (use: typeof cpuUsedUs): Outside =>
      new Outside(use, (counted) => this.#outside(counted), options.nowMs);
    this.#outsideCpu = outside(cpuUsedUs);
    this.#outsideMemory = outside(memoryUsed);
  }

  bounds(): Bounds {
    const membership = this.#membership();
    return {
      cpuMillis: this.#find('cpu', membership)?.bound ?? null,
      memoryBytes: this.#find('memory', membership)?.bound ?? null,
    };
  }

  /** @throws the system's error where a group's counters cannot be read */
  async measure(): Promise<ConfinementSample> {
    const membership = this.#membership();
    const cpu = this.#find('cpu', membership);
    const memory = this.#find('memory', membership);
    return {
      cpu: cpu === null ? null : await this.#measureCpu(cpu, membership),
      memoryBytes: memory === null ? null : await this.#measureMemory(memory),
      memoryLimitBytes: memory?.bound ?? null,
    };
  }

  #find(controller: Controller, membership: string): Found | null {
    const hierarchy = this.#hierarchyOf(controller);
    const home = hierarchy === undefined ? null : homeOf(hierarchy, membership);
    if (hierarchy === undefined || home === null) return null;
    const all = controller === 'cpu' ? this.#machine.cpuMillis : this.#machine.memoryBytes;
    let found: Found | null = null;
    for (const folder of upwards(home, hierarchy.folder)) {
      const bound = (controller === 'cpu' ? quotaOf : limitOf)(folder, hierarchy.version);
      if (bound !== null && bound < (found?.bound ?? all)) found = { hierarchy, home, folder, bound };
    }
    return found;
  }

  /** Version 2 has only the controllers that version 1 does not. */
  #hierarchyOf(controller: string): Hierarchy | undefined {
    const first = this.#hierarchies.find(
      ({ version, controllers }) => version === 1 && controllers.includes(controller),
    );
    return first ?? this.#hierarchies.find(({ version }) => version === 2);
  }

  async #measureCpu(found: Found, membership: string): Promise<CpuSample | null> {
    const counted = this.#countingCpu(found, membership);
    if (counted === null) return null;
    const { ino } = await stat(counted.folder);
    const outside = await this.#outsideCpu.look(counted);
    const usedUs = cpuUsedUs(counted.folder, counted.hierarchy.version);
    if (usedUs === null) return null;
    // A microsecond each millisecond is a thousandth of a processor.
    return { scope: String(ino), quotaMillis: found.bound, usedUs, outsideMillis: outside.perMs };
  }

  /** Of version 1 another controller counts, which may be mounted elsewhere, and the node be in another group of it. */
  #countingCpu({ hierarchy, home, folder }: Found, membership: string): Counted | null {
    if (hierarchy.version === 2) return { hierarchy, home, folder };
    const counting = this.#hierarchies.find(
      ({ version, controllers }) => version === 1 && controllers.includes('cpuacct'),
    );
    const countedHome = counting === undefined ? null : homeOf(counting, membership);
    if (counting === undefined || countedHome === null) return null;
    const same = path.join(counting.folder, path.relative(hierarchy.folder, folder));
    if (isWithin(countedHome, same)) return { hierarchy: counting, home: countedHome, folder: same };
    // In the root of the whole machine everybody's is counted.
    return countedHome === counting.folder
      ? null
      : { hierarchy: counting, home: countedHome, folder: countedHome };
  }

  async #measureMemory(found: Found): Promise<number | null> {
    const { hierarchy, folder } = found;
    const outside = await this.#outsideMemory.look(found);
    const inside = memoryUsed(folder, hierarchy.version);
    return inside === null ? null : inside + outside.total;
  }

  /** The groups of attempts of this node that are not below the one that confines. */
  async #outside({ hierarchy, home, folder }: Counted): Promise<readonly string[]> {
    const root = hierarchy.folder;
    const places = new Set([root, path.join(root, SLICE), path.dirname(home)]);
    const found: string[] = [];
    for (const place of places) {
      if (!isWithin(place, root) || isWithin(place, folder)) continue;
      for (const name of await namesIn(place)) {
        const group = path.join(place, name);
        if (this.#prefixes.some((prefix) => name.startsWith(prefix)) && !isWithin(group, folder))
          found.push(group);
      }
    }
    return found;
  }
}

/** Groups outside of the one that confines: others where the node was moved. */
class Outside {
  readonly #use: typeof cpuUsedUs;
  readonly #list: (counted: Counted) => Promise<readonly string[]>;
  readonly #nowMs: (() => number) | undefined;
  #of = '';
  #groups: PacedGroups | null = null;

  constructor(
    use: typeof cpuUsedUs,
    list: (counted: Counted) => Promise<readonly string[]>,
    nowMs: (() => number) | undefined,
  ) {
    this.#use = use;
    this.#list = list;
    this.#nowMs = nowMs;
  }

  async look(counted: Counted): Promise<PacedGroups> {
    const { hierarchy, home, folder } = counted;
    const of = `${home} ${folder}`;
    if (this.#groups === null || of !== this.#of) this.#groups = this.#begin(counted, hierarchy.version);
    this.#of = of;
    await this.#groups.look();
    return this.#groups;
  }

  #begin(counted: Counted, version: 1 | 2): PacedGroups {
    return new PacedGroups({
      read: (folder) => this.#use(folder, version),
      list: () => this.#list(counted),
      budgetMs: OUTSIDE_BUDGET_MS,
      ...(this.#nowMs === undefined ? {} : { nowMs: this.#nowMs }),
    });
  }
}

/** Processors that this process may run on; of a machine whose list is not told, `all`. */
export function allowedCpus(all: number, status = readOrEmpty('/proc/self/status')): number {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  if (list === undefined) return all;
  let count = 0;
  for (const range of list.split(',')) {
    const [first = NaN, last = first] = range.split('-').map(Number);
    if (!Number.isInteger(first) || !Number.isInteger(last)) return all;
    count += last - first + 1;
  }
  return count;
}

/** The folder and those above it, up to the mounted root. */
function* upwards(home: string, root: string): Generator<string> {
  for (let folder = home; isWithin(folder, root); folder = path.dirname(folder)) {
    yield folder;
    if (folder === root) return;
  }
}

/** Thousandths of a processor; null: no quota. */
function quotaOf(folder: string, version: 1 | 2): number | null {
  const [quota = '', period = ''] =
    version === 2
      ? readNow(folder, 'cpu.max').split(/\s+/)
      : [readNow(folder, 'cpu.cfs_quota_us'), readNow(folder, 'cpu.cfs_period_us')];
  return bounded((Number(quota || NaN) / Number(period || NaN)) * 1000);
}

/** Bytes; null: no limit. */
function limitOf(folder: string, version: 1 | 2): number | null {
  const limit = readNow(folder, version === 2 ? 'memory.max' : 'memory.limit_in_bytes');
  return bounded(Number(limit || NaN));
}

/** `max`, -1, or no such file: no bound. */
function bounded(value: number): number | null {
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : null;
}

function readNow(folder: string, file: string): string {
  try {
    return readFileSync(path.join(folder, file), 'utf8').trim();
  } catch (error) {
    // The root of version 2 has none, nor a group that its parent gives no controller to.
    if (isErrno(error, 'ENOENT', 'ENODEV')) return '';
    throw error;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
