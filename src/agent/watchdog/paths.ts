/**
 * Where things stand below a data directory. Shared by the watchdog and the daemon, so that both mean the same file.
 *
 *     watchdog/watchdog.sock  lock  session.json  tombstones.jsonl  attempts/<taskId>.<assignment>.json  fifos/
 *     tasks/<taskId>/<assignment>/log.NNNNNN  work/  error.json  result.json
 */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { AttemptKey } from '../drivers/driver.ts';

/** Task ids become file names: nothing else may get through. */
const TASK_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function isAttemptKey(key: AttemptKey): boolean {
  return TASK_ID.test(key.taskId) && Number.isSafeInteger(key.assignment) && key.assignment >= 0;
}

/** Unambiguous: the assignment is what follows the last dot. */
export function attemptName(key: AttemptKey): string {
  return `${key.taskId}.${key.assignment}`;
}

/** In the log: a task is `task` in every line of it. */
export function attemptFields({ taskId, assignment }: AttemptKey): Readonly<Record<string, unknown>> {
  return { task: taskId, assignment };
}

export function parseAttemptName(name: string): AttemptKey | null {
  const dot = name.lastIndexOf('.');
  const digits = name.slice(dot + 1);
  if (dot < 1 || !/^(?:0|[1-9][0-9]*)$/.test(digits)) return null;
  const key = { taskId: name.slice(0, dot), assignment: Number(digits) };
  return isAttemptKey(key) ? key : null;
}

/**
 * A data directory by its path and by what that path lies in: nodes in different file systems may give theirs the same
 * path, and one that was wiped and made anew is in the same place.
 */
export function placeOf(dataDirectory: string): string {
  const { dev, ino } = statSync(dirname(dataDirectory));
  return `${dev}:${ino}:${dataDirectory}`;
}

export const DIAGNOSTICS_FILE = 'watchdog.log';
export const LOCK_FILE = 'lock';

export function watchdogDirectory(dataDirectory: string): string {
  return join(dataDirectory, 'watchdog');
}

/** Holds everything of one attempt, its log too; give it to `readLog`. */
export function attemptDirectory(dataDirectory: string, key: AttemptKey): string {
  return join(dataDirectory, 'tasks', key.taskId, String(key.assignment));
}

export function workDirectory(attemptDirectory: string): string {
  return join(attemptDirectory, 'work');
}

/** What `$JARVIS_ERROR_FILE` names. */
export function errorFilePath(attemptDirectory: string): string {
  return join(attemptDirectory, 'error.json');
}

/** What `$JARVIS_RESULT_FILE` names. */
export function resultFilePath(attemptDirectory: string): string {
  return join(attemptDirectory, 'result.json');
}

/**
 * The socket's address through an open descriptor of its directory: an address holds 107 bytes, a data directory may be
 * longer. The descriptor must stay open for as long as the address is used.
 */
export function socketAddress(directoryDescriptor: number): string {
  return `/proc/self/fd/${directoryDescriptor}/watchdog.sock`;
}
