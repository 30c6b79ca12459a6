/**
 * Knows what belongs to an attempt and ends it. Here: by process group, session and the markers in the environment, for
 * machines where no cgroup is writable (`isolation: none`). A process that leaves the session *and* clears its
 * environment escapes. With control groups: `cgroup-containment.ts`.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../../lib/errors.ts';
import type { AttemptKey, AttemptSpec } from '../drivers/driver.ts';
import type { Diagnose } from './diagnostics.ts';
import { isErrno } from '../../lib/errno.ts';
import type { Markers, ProcessEntry, ProcessScanner } from './processes.ts';
import { readStat, sameMarkers } from './processes.ts';

/** The main process: leader of its own session and process group. */
interface Leader {
  readonly pid: number;
  readonly startTicks: string;
}

export interface Contained {
  /** `null`: not known, or of another boot. */
  readonly leader: Leader | null;
  readonly markers: Markers;
  /** The control group that holds it; `null`: none does. */
  readonly cgroup: string | null;
}

/** What was learned of an attempt when nothing of it was left. */
export interface Remains {
  /** The kernel killed a process of it, because it was at its memory limit. */
  readonly outOfMemory: boolean;
}

export interface Containment {
  /** The control group in which an attempt would be; to be registered before it is enclosed. `null`: in none. */
  groupOf(key: AttemptKey): string | null;
  /**
   * Runs `spawn` so that everything of the attempt will be found again. Called once, after its registration.
   * @throws GroupFailure, also where something of it runs by then: it must be destroyed
   */
  enclose<T>(contained: Contained, limits: AttemptSpec['limits'], spawn: () => T): T;
  /** Sends TERM to the attempt's processes. */
  terminate(contained: Contained): void;
  /** Kills whatever is left of it; resolves once nothing of it runs. */
  destroy(contained: Contained): Promise<Remains>;
  /**
   * Ends what is found of attempts of this data directory that nobody knows any more: their records are lost.
   * @param owned control groups of those that are known
   */
  destroyOthers(owned: ReadonlySet<string | null>): Promise<void>;
}

const FIRST_PAUSE_MS = 2;
const MAX_PAUSE_MS = 500;

export class ProcessContainment implements Containment {
  readonly #scanner: ProcessScanner;
  readonly #diagnose: Diagnose;

  constructor(scanner: ProcessScanner, diagnose: Diagnose) {
    this.#scanner = scanner;
    this.#diagnose = diagnose;
  }

  groupOf(_key: AttemptKey): null {
    return null;
  }

  enclose<T>(_contained: Contained, _limits: AttemptSpec['limits'], spawn: () => T): T {
    return spawn();
  }

  terminate({ leader }: Contained): void {
    // Not reaped yet, so its number is still its own.
    if (leader !== null) signalProcess(-leader.pid, 'SIGTERM');
  }

  async destroy(contained: Contained): Promise<Remains> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      try {
        if (!(await this.#killOnce(contained))) return { outOfMemory: false };
      } catch (error) {
        // What cannot be seen is not known to be gone: only time helps, or a person.
        this.#diagnose('cannot tell what runs', { ...contained.markers, error: messageOf(error) });
      }
      await delay(pauseMs);
    }
  }

  /** Without a record there is no telling what belongs to one. */
  async destroyOthers(): Promise<void> {}

  /** @returns whether there was anything to kill */
  async #killOnce(contained: Contained): Promise<boolean> {
    const { leader } = contained;
    // The whole group in one call: it cannot outrun that by forking. A group keeps its number while it has members.
    if (leader !== null && isSame(leader)) signalProcess(-leader.pid, 'SIGKILL');
    const members = membersOf(contained, await this.#scanner.scan());
    if (leader !== null && members.some((member) => member.processGroup === leader.pid && isSame(member)))
      signalProcess(-leader.pid, 'SIGKILL');
    for (const member of members) if (isSame(member)) signalProcess(member.pid, 'SIGKILL');
    return members.length > 0;
  }
}

/** Pure; exported for its test. */
export function membersOf(
  { leader, markers }: Pick<Contained, 'leader' | 'markers'>,
  entries: readonly ProcessEntry[],
): readonly ProcessEntry[] {
  // A pid is not given out again while a session bears it: another process of that pid means that ours is empty.
  const reused = entries.some(
    ({ pid, startTicks }) => pid === leader?.pid && startTicks !== leader.startTicks,
  );
  return entries.filter(
    (entry) =>
      !entry.dead &&
      ((leader !== null && !reused && entry.processSession === leader.pid) ||
        (entry.markers !== null && sameMarkers(entry.markers, markers))),
  );
}

/** That very process, not another with its pid; also true for a zombie. */
function isSame({ pid, startTicks }: Leader): boolean {
  return readStat(pid)?.startTicks === startTicks;
}

/** To one that may have ended meanwhile. */
export function signalProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended in between; a process of another user stays in the next scan and is tried again.
    if (!isErrno(error, 'ESRCH', 'EPERM')) throw error;
  }
}
