/** What running processes have used of the machine, as /proc tells it. */
import { readFileSync } from 'node:fs';

/** What one tick of /proc/PID/stat is on Linux, whatever the kernel's own is (USER_HZ). */
const TICK_MS = 10;
/** Of the fields that follow the name: utime and stime. */
const [USER, SYSTEM] = [11, 12];
const KIB = 1024;

/** Processor time of all of them together so far, all threads. @throws where one of them is gone */
export function cpuMsOf(pids: readonly number[]): number {
  return sum(pids.map((pid) => parseCpuMs(readFileSync(`/proc/${pid}/stat`, 'utf8'))));
}

/** What `ps` calls RSS, summed: pages that they share count in each. @throws where one of them is gone */
export function residentBytesOf(pids: readonly number[]): number {
  return sum(pids.map((pid) => parseKib(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS')));
}

/** As that, each page divided by the number of processes that share it. @throws where one of them is gone */
export function proportionalBytesOf(pids: readonly number[]): number {
  return sum(pids.map((pid) => parseKib(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss')));
}

/** @param stat /proc/PID/stat; the name in it may hold anything, also parentheses and blanks */
export function parseCpuMs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[USER]) + Number(fields[SYSTEM]);
  if (!Number.isSafeInteger(ticks)) throw new Error(`${JSON.stringify(stat)} has no processor time`);
  return ticks * TICK_MS;
}

/** @param text lines such as `VmRSS:	  1234 kB` */
export function parseKib(text: string, name: string): number {
  const [, kib] = new RegExp(`^${name}:\\s*([0-9]+) kB$`, 'm').exec(text) ?? [];
  if (kib === undefined) throw new Error(`there is no ${name} in ${JSON.stringify(text)}`);
  return Number(kib) * KIB;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
