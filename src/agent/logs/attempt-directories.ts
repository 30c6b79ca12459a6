/**
 * What lies below `tasks/` of a data directory, attempt by attempt: what retention counts and what is handed over. Where
 * an attempt has a record, of the watchdog or of the docker driver, it may run; one has its record before its directory
 * appears, and loses it for good after its end (`RecordStore`). So a directory without a record is of an attempt that is over.
 */
import { access, lstat, opendir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { isErrno } from '../../lib/errno.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import { isLogFileName } from '../watchdog/log-format.ts';
import { attemptDirectory, attemptName, isAttemptKey } from '../watchdog/paths.ts';

export interface KeptAttempt {
  readonly key: AttemptKey;
  readonly directory: string;
  /** Nothing of it runs, and its end is known to the cluster. */
  readonly isOver: boolean;
  /** When its log was written last; of one without a log, when its directory was. Wall time. */
  readonly endedAtMs: number;
  /** What its output takes of the disk, with the directories that hold it. */
  readonly bytes: number;
  /** Paths of what lies there beside the log. */
  readonly left: readonly string[];
}

/** The blocks that `stat` counts. */
const BLOCK_BYTES = 512;
/** Those of the task and the attempt. */
const DIRECTORIES_BYTES = 2 * 4096;

function tasksDirectory(dataDirectory: string): string {
  return path.join(dataDirectory, 'tasks');
}

/** In no order. Reads names bit by bit: there may be very many. What goes meanwhile is passed over. */
export async function* keptAttempts(dataDirectory: string): AsyncGenerator<KeptAttempt> {
  for await (const taskId of taskNames(dataDirectory)) yield* attemptsOfTask(dataDirectory, taskId);
}

/** Of one task, in the order in which they were assigned. */
async function* attemptsOfTask(dataDirectory: string, taskId: string): AsyncGenerator<KeptAttempt> {
  const names = await namesIn(path.join(tasksDirectory(dataDirectory), taskId));
  const assignments = names.filter((name) => /^(?:0|[1-9][0-9]*)$/.test(name)).map(Number);
  for (const assignment of assignments.toSorted((a, b) => a - b)) {
    const key = { taskId, assignment };
    if (!isAttemptKey(key)) continue;
    const attempt = await lookAt(dataDirectory, key);
    if (attempt !== null) yield attempt;
  }
}

async function* taskNames(dataDirectory: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(tasksDirectory(dataDirectory)))
      if (entry.isDirectory()) yield entry.name;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** Null where it has gone, or is no directory of the node's making. */
async function lookAt(dataDirectory: string, key: AttemptKey): Promise<KeptAttempt | null> {
  const directory = attemptDirectory(dataDirectory, key);
  try {
    const status = await lstat(directory);
    if (!status.isDirectory()) return null;
    // Only now, see above.
    const isOver = await isAttemptOver(dataDirectory, key);
    let bytes = DIRECTORIES_BYTES;
    let endedAtMs = 0;
    const left: string[] = [];
    for (const name of await readdir(directory)) {
      const file = path.join(directory, name);
      if (!isLogFileName(name)) {
        left.push(file);
        continue;
      }
      const { blocks, mtimeMs } = await lstat(file);
      bytes += blocks * BLOCK_BYTES;
      endedAtMs = Math.max(endedAtMs, mtimeMs);
    }
    return { key, directory, isOver, endedAtMs: endedAtMs === 0 ? status.mtimeMs : endedAtMs, bytes, left };
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

async function isAttemptOver(dataDirectory: string, key: AttemptKey): Promise<boolean> {
  for (const owner of ['watchdog', 'docker']) {
    const record = path.join(dataDirectory, owner, 'attempts', `${attemptName(key)}.json`);
    if (await exists(record)) return false;
  }
  return true;
}

export async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
