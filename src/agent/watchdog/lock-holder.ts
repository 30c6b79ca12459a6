/**
 * Which process is the watchdog of a data directory: it says so in the file whose lock it holds. A daemon that was
 * started beside a watchdog that is stopped has never had an answer from it, and must be able to end it all the same.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { bootTimeMs } from '../../lib/boot-time.ts';
import { isErrno } from '../../lib/errno.ts';
import { LOCK_FILE } from './paths.ts';
import { readBootId, readStat } from './processes.ts';

/** A process for as long as the machine is up: its pid alone may be another's by now. */
export interface LockHolder {
  readonly pid: number;
  readonly startTicks: string;
}

/** Of a process's start, per second: USER_HZ, the same on every Linux. */
const TICKS_PER_SECOND = 100;

/** What the watchdog writes about itself. */
export function lockText(): string {
  return JSON.stringify({
    pid: process.pid,
    startTicks: readStat(process.pid)?.startTicks,
    bootId: readBootId(),
  });
}

/** @returns null where none is named, or the one that is has ended */
export async function lockHolder(directory: string): Promise<LockHolder | null> {
  const text = await readLockText(directory);
  let said: { pid?: unknown; startTicks?: unknown; bootId?: unknown };
  try {
    said = JSON.parse(text) as typeof said;
  } catch {
    // Empty: from a version that wrote nothing there, or about to be written.
    return null;
  }
  const { pid, startTicks, bootId } = said;
  if (typeof pid !== 'number' || typeof startTicks !== 'string' || bootId !== readBootId()) return null;
  return holds({ pid, startTicks }) ? { pid, startTicks } : null;
}

async function readLockText(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, LOCK_FILE), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

/** Whether it is still that process, and not what is left of it until its parent has looked. */
export function holds({ pid, startTicks }: LockHolder): boolean {
  const found = readStat(pid);
  return found !== null && !found.dead && found.startTicks === startTicks;
}

export function ageMs({ startTicks }: LockHolder): number {
  return bootTimeMs() - (Number(startTicks) * 1000) / TICKS_PER_SECOND;
}
