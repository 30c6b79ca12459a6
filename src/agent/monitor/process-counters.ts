/**
 * What processes have used, read from /proc one by one: where no control group has counted it for all of them. What has
 * ended counts as long as its parent is among them and has waited for it (proc(5), cutime and cstime).
 */
import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';
import { NO_COUNTERS, type AttemptCounters } from '../drivers/attempt-counters.ts';
import { parseInterfaces } from '../worker/network-counters.ts';
import { MONITOR_LIMITS } from './limits.ts';
import { readSmall } from '../cgroups/small-file.ts';

/** getauxval(3) */
const [AT_PAGESZ, AT_CLKTCK] = [6n, 17n];
const DEFAULT_UNITS = { pageBytes: 4096, ticksPerSecond: 100 };

interface Units {
  readonly pageBytes: number;
  readonly ticksPerSecond: number;
}

/** @param auxv proc_pid_auxv(5), of a process of 64 bits, the lowest byte first as on all machines that Node runs on */
export function unitsOf(auxv: Buffer): Units {
  const values = new Map<bigint, number>();
  for (let at = 0; at + 16 <= auxv.length; at += 16)
    values.set(auxv.readBigUInt64LE(at), Number(auxv.readBigUInt64LE(at + 8)));
  return {
    pageBytes: values.get(AT_PAGESZ) ?? DEFAULT_UNITS.pageBytes,
    ticksPerSecond: values.get(AT_CLKTCK) ?? DEFAULT_UNITS.ticksPerSecond,
  };
}

export class ProcessCounters {
  readonly #root: string;
  readonly #units: Units;

  constructor(root = '/proc') {
    this.#root = root;
    this.#units = unitsOf(readFileSync('/proc/self/auxv'));
  }

  /** Of all of them; the first {@link MONITOR_LIMITS.processesOfAttempt}. @returns null where none of them runs any more */
  read(pids: readonly number[]): AttemptCounters | null {
    let counted = 0;
    let [cpuTicks, pages, threads] = [0, 0, 0];
    let transferred: { readBytes: number; writtenBytes: number } | null = { readBytes: 0, writtenBytes: 0 };
    for (const pid of pids.slice(0, MONITOR_LIMITS.processesOfAttempt)) {
      const stat = this.#stat(pid);
      if (stat === null) continue;
      counted += 1;
      cpuTicks += stat.cpuTicks;
      pages += stat.pages;
      threads += stat.threads;
      const own = this.#transferred(pid);
      transferred = addUp(transferred, own);
    }
    if (counted === 0) return null;
    const { pageBytes, ticksPerSecond } = this.#units;
    return {
      ...NO_COUNTERS,
      cpuUs: (cpuTicks * 1e6) / ticksPerSecond,
      memoryBytes: pages * pageBytes,
      pids: threads,
      ...transferred,
    };
  }

  /** The network namespace that a process is in. @returns null where that is this process's own, or cannot be told */
  namespaceOf(pid: number): string | null {
    const own = readLink(path.join(this.#root, 'self/ns/net'));
    const other = readLink(path.join(this.#root, String(pid), 'ns/net'));
    return other === own ? null : other;
  }

  /** What the network of that process has carried. */
  network(pid: number): Pick<AttemptCounters, 'receivedBytes' | 'transmittedBytes'> | null {
    const table = readSmall(path.join(this.#root, String(pid), 'net/dev'));
    if (table === null) return null;
    let [receivedBytes, transmittedBytes] = [0, 0];
    for (const bytes of parseInterfaces(table).values()) {
      receivedBytes += bytes.receivedBytes;
      transmittedBytes += bytes.transmittedBytes;
    }
    return { receivedBytes, transmittedBytes };
  }

  #stat(pid: number): { readonly cpuTicks: number; readonly pages: number; readonly threads: number } | null {
    const text = readSmall(path.join(this.#root, String(pid), 'stat'));
    if (text === null) return null;
    // The name stands in parentheses and may hold anything, also parentheses and blanks.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [user, system, childrenUser, childrenSystem] = fields.slice(11, 15).map(Number);
    const [threads, pages] = [Number(fields[17]), Number(fields[21])];
    const cpuTicks = (user ?? NaN) + (system ?? NaN) + (childrenUser ?? NaN) + (childrenSystem ?? NaN);
    return Number.isFinite(cpuTicks + threads + pages) ? { cpuTicks, pages, threads } : null;
  }

  /** Of another user's process only root is told. */
  #transferred(pid: number): { readonly readBytes: number; readonly writtenBytes: number } | null {
    const text = readSmall(path.join(this.#root, String(pid), 'io'));
    const read = text === null ? undefined : /^read_bytes: (\d+)$/m.exec(text)?.[1];
    const written = text === null ? undefined : /^write_bytes: (\d+)$/m.exec(text)?.[1];
    return read === undefined || written === undefined
      ? null
      : { readBytes: Number(read), writtenBytes: Number(written) };
  }
}

/** One that cannot be told makes the sum untold. */
function addUp<T extends { readonly readBytes: number; readonly writtenBytes: number }>(
  sum: T | null,
  own: T | null,
): { readBytes: number; writtenBytes: number } | null {
  if (sum === null || own === null) return null;
  return {
    readBytes: sum.readBytes + own.readBytes,
    writtenBytes: sum.writtenBytes + own.writtenBytes,
  };
}

function readLink(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return null;
    throw error;
  }
}
