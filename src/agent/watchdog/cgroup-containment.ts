/**
 * Containment by a control group per attempt: nothing that the attempt starts can leave it, whatever it does with its
 * session and its environment, and it has ended when the group is empty [EMPTY]. The group is named by data directory,
 * task and assignment, so that it is never another attempt's [PERATTEMPT].
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../lib/errors.ts';
import type { ProcessGroups, Removed } from '../cgroups/process-groups.ts';
import type { AttemptKey, AttemptSpec } from '../drivers/driver.ts';
import type { Contained, Containment, Remains } from './containment.ts';
import { ProcessContainment } from './containment.ts';
import type { Diagnose } from './diagnostics.ts';
import { attemptName, placeOf } from './paths.ts';
import { ProcessScanner } from './processes.ts';

const FIRST_PAUSE_MS = 1;
const MAX_PAUSE_MS = 500;
/** Something that does not die is told of now and then. */
const TELL_INTERVAL_MS = 10_000;

/** The best that this machine offers. @param groups null: none can be made */
export function findContainment(
  { dataDirectory, useCgroups }: { readonly dataDirectory: string; readonly useCgroups: boolean },
  groups: ProcessGroups | null,
  diagnose: Diagnose,
): Containment {
  const processes = new ProcessContainment(new ProcessScanner(), diagnose);
  if (groups === null || !useCgroups) return processes;
  const prefix = groupPrefixOf(dataDirectory);
  return new CgroupContainment({ groups, processes, prefix, delay, diagnose });
}

/** What the names of all groups of a data directory's attempts begin with, and of no other's. */
export function groupPrefixOf(dataDirectory: string): string {
  const tag = createHash('sha256').update(placeOf(dataDirectory)).digest('hex').slice(0, 12);
  return `jarvis-process-${tag}-`;
}

interface CgroupContainmentOptions {
  readonly groups: ProcessGroups;
  /** For attempts that a watchdog before this one began without a group. */
  readonly processes: Pick<Containment, 'terminate' | 'destroy'>;
  readonly prefix: string;
  readonly delay: (delayMs: number) => Promise<void>;
  readonly diagnose: Diagnose;
}

export class CgroupContainment implements Containment {
  readonly #options: CgroupContainmentOptions;

  constructor(options: CgroupContainmentOptions) {
    this.#options = options;
  }

  groupOf(key: AttemptKey): string {
    return this.#options.groups.groupOf(`${this.#options.prefix}${attemptName(key)}`);
  }

  enclose<T>({ cgroup }: Contained, limits: AttemptSpec['limits'], spawn: () => T): T {
    return cgroup === null ? spawn() : this.#options.groups.enclose(cgroup, limits, spawn);
  }

  terminate(contained: Contained): void {
    this.#options.processes.terminate(contained);
  }

  async destroy(contained: Contained): Promise<Remains> {
    const { cgroup } = contained;
    return cgroup === null ? this.#options.processes.destroy(contained) : this.#destroyGroup(cgroup);
  }

  async destroyOthers(owned: ReadonlySet<string | null>): Promise<void> {
    const { groups, prefix, diagnose } = this.#options;
    const others = groups.groupsBeginning(prefix).filter((group) => !owned.has(group));
    if (others.length > 0) diagnose('control groups of no known attempt', { others });
    await Promise.all(others.map((group) => this.#destroyGroup(group)));
  }

  async #destroyGroup(group: string): Promise<Removed> {
    const { groups, diagnose } = this.#options;
    let tellAtMs = performance.now() + TELL_INTERVAL_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        const removed = groups.remove(group);
        if (removed !== null) return removed;
        // The last process may be gone and its group not know it yet.
        if (groups.isOccupied(group)) await groups.kill(group);
      } catch (error) {
        // What cannot be seen is not known to be gone: only time helps, or a person.
        diagnose('cannot tell what runs in a control group', { group, error: messageOf(error) });
      }
      if (performance.now() > tellAtMs) {
        diagnose('a control group does not become empty', { group });
        tellAtMs += TELL_INTERVAL_MS;
      }
      await this.#options.delay(pauseMs);
    }
  }
}
