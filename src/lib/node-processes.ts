/** The processes of a node of this machine, found by what they were begun with: its daemon, its watchdog and its tasks. */
import { readdir, readFile, readlink } from 'node:fs/promises';

import { processStartTime } from './process-start.ts';

/** A variable that every task is given (docs/contract.md, section 3): a file below the data directory of its node. */
const TASK_FILE = 'JARVIS_ERROR_FILE=';

export interface ProcessId {
  readonly pid: number;
  /** As `processStartTime` has it; empty where it had ended before anybody looked. */
  readonly startTime: string;
}

export function isAlive({ pid, startTime }: ProcessId): boolean {
  return startTime !== '' && processStartTime(pid) === startTime;
}

/** @returns whose arguments have this one; null where there is none */
export async function processWithArgument(argument: string): Promise<ProcessId | null> {
  const [found] = await processesWhere(async (pid) => (await argumentsOf(pid)).includes(argument));
  return found ?? null;
}

/**
 * Whatever works for the node of a data directory: it was begun with it, as daemon and watchdog are, works in it, or has files of a
 * task there, as every task has, wherever it works.
 */
export async function processesOf(directory: string): Promise<readonly ProcessId[]> {
  const isInside = (text: string): boolean => text === directory || text.startsWith(`${directory}/`);
  return processesWhere(async (pid) => {
    if (pid === process.pid) return false;
    if ((await argumentsOf(pid)).some((text) => isNamedIn(text, directory))) return true;
    return isInside(await directoryOf(pid)) || (await taskFilesOf(pid)).some(isInside);
  });
}

/** As a whole: `/data/node-10` names no `/data/node-1`. */
function isNamedIn(text: string, directory: string): boolean {
  for (let at = text.indexOf(directory); at !== -1; at = text.indexOf(directory, at + 1))
    if (!/^[\w.-]/.test(text.slice(at + directory.length))) return true;
  return false;
}

async function processesWhere(is: (pid: number) => Promise<boolean>): Promise<readonly ProcessId[]> {
  const found: ProcessId[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    const startTime = processStartTime(pid);
    if (startTime !== null && (await is(pid))) found.push({ pid, startTime });
  }
  return found;
}

/** None where it has ended. */
async function argumentsOf(pid: number): Promise<readonly string[]> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(emptyWhereNone)).split('\0');
}

/** Empty where it has ended, or is not this user's. */
async function directoryOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/cwd`).catch(emptyWhereNone);
}

/** None where it is no task, has ended, or is not this user's. */
async function taskFilesOf(pid: number): Promise<readonly string[]> {
  const variables = (await readFile(`/proc/${pid}/environ`, 'utf8').catch(emptyWhereNone)).split('\0');
  return variables.filter((text) => text.startsWith(TASK_FILE)).map((text) => text.slice(TASK_FILE.length));
}

/** Anything else must be known: a process that could not be looked at is not one that has ended. */
function emptyWhereNone(error: NodeJS.ErrnoException): string {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return '';
  throw error;
}
