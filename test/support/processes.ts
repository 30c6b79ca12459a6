/**
 * Finds the processes of a test's own directory: daemons and watchdogs name it in their arguments, tasks in their
 * environment. The directory is new for each test, so nobody else's process can be meant.
 */
import { readdirSync, readFileSync } from 'node:fs';

import { removeCgroup } from './docker-bed/cgroups.ts';
import { waitFor } from './wait.ts';

export interface FoundProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/** Zombies are left out: nothing of them runs. */
export function processesOf(directory: string): readonly FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid) || pid === process.pid) continue;
    const commandLine = read(`/proc/${pid}/cmdline`);
    const isOurs = names(commandLine, directory) || names(read(`/proc/${pid}/environ`), directory);
    if (isOurs && !isZombie(pid)) {
      found.push({ pid, commandLine: commandLine.replaceAll('\0', ' ').trim().slice(0, 300) });
    }
  }
  return found;
}

/**
 * KILL to all of them; a daemon that starts another one meanwhile is found by the next look.
 * @param groups takes the control groups that they are in, of those that attempts have
 */
function killProcessesOf(directory: string, groups: Set<string>): number {
  const found = processesOf(directory);
  for (const { pid } of found) {
    for (const [, group] of read(`/proc/${pid}/cgroup`).matchAll(/:([^:\n]*\/jarvis-process-[^\n]*)$/gm))
      if (group !== undefined) groups.add(group);
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return found.length;
}

/** And of their control groups, if their watchdog cannot do that any more. @throws Error where something is left after a while */
export async function endProcessesOf(directory: string): Promise<void> {
  const groups = new Set<string>();
  const areGone = (): boolean =>
    killProcessesOf(directory, groups) === 0 && [...groups].map(removeCgroup).every(Boolean);
  await waitFor(`the end of the processes of ${directory}`, areGone, { timeoutMs: 15_000, intervalMs: 20 });
}

/** Whether the text has the directory or a path below it, and not only another one that begins like it. */
function names(text: string, directory: string): boolean {
  for (let at = text.indexOf(directory); at !== -1; at = text.indexOf(directory, at + 1)) {
    if (['/', '"', '\0', ''].includes(text.charAt(at + directory.length))) return true;
  }
  return false;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // It ended between being listed and being read, or belongs to somebody else.
    return '';
  }
}

function isZombie(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  return state === '' || state === 'Z' || state === 'X';
}
