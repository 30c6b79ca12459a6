/**
 * Reads /proc: who runs, in which session, and which attempt a process belongs to by the markers in its environment.
 * Scans are shared by all who wait for one, so that a hundred attempts ending at once cost one scan or two.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { coalesce } from './coalesce.ts';
import { isErrno } from '../../lib/errno.ts';

/** What tells a process of an attempt from all others, however often it forked and detached itself. */
export interface Markers {
  readonly taskId: string;
  readonly attempt: string;
  readonly fencingToken: string;
  /** Holds the data directory: two nodes on one machine never take each other's processes for their own. */
  readonly errorFile: string | null;
}

export interface ProcessEntry {
  readonly pid: number;
  /** Start in clock ticks since boot: with the pid it names a process for as long as the machine is up. */
  readonly startTicks: string;
  /** A zombie or dead entry: nothing of it runs. */
  readonly dead: boolean;
  readonly processSession: number;
  readonly processGroup: number;
  readonly markers: Markers | null;
}

type Stat = Omit<ProcessEntry, 'markers'> & { readonly kernel: boolean };

/** Processes read between two turns of the event loop. */
const SLICE = 128;
/** PF_KTHREAD of the flags in stat. */
const KERNEL_THREAD = 0x0020_0000;
/** One line of at most 52 numbers and a name. */
const statBuffer = Buffer.alloc(2048);
const EXEC_ROUNDS = 3;
const EXEC_PAUSE_MS = 4;

/** Identifies the running kernel: pids and start ticks mean something only within one boot. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** @returns null where there is no such process. @throws where that cannot be told, as with too many open files */
export function readStat(pid: number): Stat | null {
  let text: string;
  try {
    text = readStatText(pid);
  } catch (error) {
    // It ended between being listed and being read.
    if (isErrno(error, 'ENOENT', 'ESRCH')) return null;
    throw error;
  }
  // The name stands in parentheses and may hold anything, also parentheses and blanks.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, , group, session, , , flags] = fields;
  const startTicks = fields[19];
  if (state === undefined || session === undefined || startTicks === undefined) return null;
  return {
    pid,
    startTicks,
    dead: state === 'Z' || state === 'X' || state === 'x',
    processSession: Number(session),
    processGroup: Number(group),
    kernel: (Number(flags) & KERNEL_THREAD) !== 0,
  };
}

/** Without the status call and the memory of `readFileSync`: this runs once per process and scan. */
function readStatText(pid: number): string {
  const descriptor = openSync(`/proc/${pid}/stat`, 'r');
  try {
    return statBuffer.toString('latin1', 0, readSync(descriptor, statBuffer));
  } finally {
    closeSync(descriptor);
  }
}

export class ProcessScanner {
  /**
   * What the environment of (pid, start) said. A process never becomes a member later: membership is inherited. Once a
   * member, it stays one here, even if it runs another program with another environment.
   */
  #known = new Map<string, Markers | null>();

  /** Every process, by a scan that begins after this call. */
  readonly scan: () => Promise<readonly ProcessEntry[]> = coalesce(() => this.#pacedScan());
  #lastEndMs = 0;
  #lastCostMs = 0;

  /** Scanning takes a third of this thread at most, however fast attempts end: the next scan serves all the more. */
  async #pacedScan(): Promise<readonly ProcessEntry[]> {
    const waitMs = this.#lastEndMs + 2 * this.#lastCostMs - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const beginMs = performance.now();
    try {
      return await this.#scan();
    } finally {
      this.#lastEndMs = performance.now();
      this.#lastCostMs = this.#lastEndMs - beginMs;
    }
  }

  async #scan(): Promise<readonly ProcessEntry[]> {
    const stats: Stat[] = [];
    const markers = new Map<string, Markers | null>();
    const undecided: Stat[] = [];
    const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
    for (const [position, name] of pids.entries()) {
      if (position % SLICE === SLICE - 1) await turn();
      const stat = readStat(Number(name));
      if (stat === null || stat.kernel || stat.dead) continue;
      stats.push(stat);
      let known = this.#known.get(identityOf(stat));
      if (known === undefined) known = readMarkers(stat.pid);
      if (known === undefined) undecided.push(stat);
      else markers.set(identityOf(stat), known);
    }
    await decide(undecided, markers);
    this.#known = markers;
    return stats.map((stat) => ({ ...stat, markers: markers.get(identityOf(stat)) ?? null }));
  }
}

function identityOf({ pid, startTicks }: { pid: number; startTicks: string }): string {
  return `${pid}.${startTicks}`;
}

/** In the middle of an exec the environment reads as empty; one that stays empty is. */
async function decide(undecided: readonly Stat[], markers: Map<string, Markers | null>): Promise<void> {
  let open = undecided;
  for (let round = 0; round < EXEC_ROUNDS && open.length > 0; round += 1) {
    await delay(EXEC_PAUSE_MS);
    const still: Stat[] = [];
    for (const stat of open) {
      const found = readStat(stat.pid)?.startTicks === stat.startTicks ? readMarkers(stat.pid) : null;
      if (found === undefined) still.push(stat);
      else markers.set(identityOf(stat), found);
    }
    open = still;
  }
  for (const stat of open) markers.set(identityOf(stat), null);
}

/** @returns undefined where it cannot be told now */
function readMarkers(pid: number): Markers | null | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch (error) {
    // Gone, or of another user: then its environment cannot be known.
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return null;
    throw error;
  }
  if (text === '') return undefined;
  if (!text.includes('JARVIS_TASK_ID=')) return null;
  const values = new Map<string, string>();
  for (const variable of text.split('\0')) {
    if (!variable.startsWith('JARVIS_')) continue;
    const equals = variable.indexOf('=');
    values.set(variable.slice(0, equals), Buffer.from(variable.slice(equals + 1), 'latin1').toString());
  }
  const taskId = values.get('JARVIS_TASK_ID');
  const attempt = values.get('JARVIS_ATTEMPT');
  const fencingToken = values.get('JARVIS_FENCING_TOKEN');
  if (taskId === undefined || attempt === undefined || fencingToken === undefined) return null;
  return { taskId, attempt, fencingToken, errorFile: values.get('JARVIS_ERROR_FILE') ?? null };
}

export function sameMarkers(a: Markers, b: Markers): boolean {
  return (
    a.taskId === b.taskId &&
    a.attempt === b.attempt &&
    a.fencingToken === b.fencingToken &&
    (a.errorFile === null || b.errorFile === null || a.errorFile === b.errorFile)
  );
}
