/** Control groups with a quota of cpu time, each for a node of a test and whatever else the test puts there. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { isWritable, parseMounts, type Hierarchy } from '../../src/agent/cgroups/hierarchies.ts';
import { removeCgroup } from './docker-bed/cgroups.ts';
import { waitFor } from './wait.ts';

/** Short, so that what is held up is so for milliseconds only. */
const PERIOD_US = 20_000;

export interface QuotaGroup {
  /** A program and its arguments that run what follows them in the group. */
  readonly enter: readonly string[];
}

/** Those that limit and count cpu time. @throws Error where there are none that may be used */
function hierarchiesHere(): readonly Hierarchy[] {
  const mounts = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const first = ['cpu', 'cpuacct'].map((name) =>
    mounts.find(({ version, controllers }) => version === 1 && controllers.includes(name)),
  );
  const [limiting, counting] = first;
  const second = mounts.find(({ version }) => version === 2);
  const used = limiting === undefined ? [second] : [limiting, counting];
  const found = [...new Set(used)].filter((one) => one !== undefined);
  if (found.length === 0 || used.includes(undefined)) throw new Error('no hierarchy limits cpu time here');
  const closed = found.find(({ folder }) => !isWritable(folder));
  if (closed !== undefined) throw new Error(`${closed.folder} may not be written`);
  return found;
}

/** @returns why there can be none here; null where there can be: it is tried */
export function quotaObstacle(): string | null {
  if (process.platform !== 'linux') return `control groups need Linux, this is ${process.platform}`;
  try {
    const { folders } = make(`jarvis-quota-${process.pid}-trial`, 500);
    for (const folder of folders) rmdirSync(folder);
    return null;
  } catch (error) {
    return `no control group with a quota can be made: ${String(error)}`;
  }
}

function make(name: string, cpuMillis: number): QuotaGroup & { readonly folders: readonly string[] } {
  const quotaUs = (cpuMillis * PERIOD_US) / 1000;
  const folders = hierarchiesHere().map(({ version, controllers, folder }) => {
    if (version === 2) writeFileSync(path.join(folder, 'cgroup.subtree_control'), '+cpu');
    const group = path.join(folder, name);
    mkdirSync(group);
    if (version === 2) writeFileSync(path.join(group, 'cpu.max'), `${quotaUs} ${PERIOD_US}`);
    if (version === 1 && controllers.includes('cpu')) {
      writeFileSync(path.join(group, 'cpu.cfs_period_us'), String(PERIOD_US));
      writeFileSync(path.join(group, 'cpu.cfs_quota_us'), String(quotaUs));
    }
    return group;
  });
  const enter = folders.map((folder) => `echo $$ > ${folder}/cgroup.procs`).join(' && ');
  return { folders, enter: ['sh', '-c', `${enter} && exec "$@"`, 'sh'] };
}

export class QuotaGroups {
  readonly #prefix = `jarvis-quota-${process.pid}-${randomBytes(4).toString('hex')}`;
  readonly #groups = new Map<string, QuotaGroup>();
  readonly #cpuMillis: number;

  constructor(cpuMillis: number) {
    this.#cpuMillis = cpuMillis;
  }

  of(name: string): QuotaGroup {
    const group = this.#groups.get(name) ?? make(`${this.#prefix}-${name}`, this.#cpuMillis);
    this.#groups.set(name, group);
    return group;
  }

  /** When all that was in them has ended. */
  async remove(): Promise<void> {
    const names = [...this.#groups.keys()].map((name) => `/${this.#prefix}-${name}`);
    await waitFor('the groups with quotas to be removed', () => names.map(removeCgroup).every(Boolean));
  }
}
