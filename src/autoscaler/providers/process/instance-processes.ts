/** The processes of an instance: found again by what they were begun with, and ended for good. */
import { readdir, readFile, readlink } from 'node:fs/promises';

import { pause } from '../../../lib/backoff.ts';
import type { Clock } from '../../../lib/clock.ts';
import { processStartTime } from '../../../lib/process-start.ts';
import { throwIfAborted } from '../provider.ts';

const LOOK_MS = 50;
/** For the kernel, after SIGKILL. */
const KILL_WAIT_MS = 5000;
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

/** Ends with TERM what can end by itself, and with KILL what cannot. @throws ProviderError unavailable where given up */
export async function endProcess(
  id: ProcessId,
  {
    graceMs,
    clock,
    signal,
  }: { readonly graceMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  send(id, 'SIGTERM');
  if (await hasEnded(id, { withinMs: graceMs, clock, signal })) return;
  send(id, 'SIGKILL');
  await hasEnded(id, { withinMs: KILL_WAIT_MS, clock, signal });
}

/** Kills whatever works for the node of a data directory: of a node that was killed its tasks go on. */
export async function killStrays(
  directory: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const strays = await processesOf(directory);
  for (const stray of strays) send(stray, 'SIGKILL');
  for (const stray of strays) await hasEnded(stray, { withinMs: KILL_WAIT_MS, clock, signal });
}

/**
 * Whatever works for the node of a data directory: it was begun with it, as daemon and watchdog are, works in it, or has files of a
 * task there, as every task has, wherever it works.
 */
export async function processesOf(directory: string): Promise<readonly ProcessId[]> {
  const isInside = (text: string): boolean => text === directory || text.startsWith(`${directory}/`);
  return processesWhere(async (pid) => {
    if (pid === process.pid) return false;
    if ((await argumentsOf(pid)).some((text) => text.includes(directory))) return true;
    return isInside(await directoryOf(pid)) || (await taskFilesOf(pid)).some(isInside);
  });
}

function send(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    // It has just ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function hasEnded(
  id: ProcessId,
  options: { readonly withinMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<boolean> {
  const { withinMs, clock, signal } = options;
  const deadlineMs = clock.monotonicMs() + withinMs;
  while (isAlive(id)) {
    throwIfAborted(signal);
    if (clock.monotonicMs() >= deadlineMs) return false;
    await pause(clock, LOOK_MS, signal);
  }
  return true;
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
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
}

/** Empty where it has ended, or is not this user's. */
async function directoryOf(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/cwd`).catch(() => '');
}

/** None where it is no task, has ended, or is not this user's. */
async function taskFilesOf(pid: number): Promise<readonly string[]> {
  const variables = (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).split('\0');
  return variables.filter((text) => text.startsWith(TASK_FILE)).map((text) => text.slice(TASK_FILE.length));
}
