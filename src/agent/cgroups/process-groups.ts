/**
 * Control groups that hold the processes of attempts, one per attempt ([PERATTEMPT]). The parent of a process enters the
 * group around the fork and leaves it again: the child is in it from its first instruction, with nothing between.
 * Version 1 and version 2 differ in all but the idea; `version-1.ts` and `version-2.ts` are the two.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { parseMounts } from './hierarchies.ts';
import { Version1Groups } from './version-1.ts';
import { Version2Groups } from './version-2.ts';

/** What a group can never exceed; null: no cap. */
export interface GroupLimits {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly pids: number | null;
}

export type LimitName = 'cpu' | 'memory' | 'pids';

/** What is known of a group when it is gone. */
export interface Removed {
  /** The kernel killed a process of it, because it was at its memory limit. */
  readonly outOfMemory: boolean;
}

export interface ProcessGroups {
  readonly version: 1 | 2;
  /** What can be limited here. */
  readonly limitable: ReadonlySet<LimitName>;
  /** Where groups of that name are, from the root of the hierarchies. */
  groupOf(name: string): string;
  /** All groups that are there and whose name begins so. */
  groupsBeginning(prefix: string): readonly string[];
  /**
   * Makes the group and runs `spawn` inside of it. The limits hold from when it returns: while this process is inside,
   * they would hit it, too.
   * @throws GroupFailure, also where something runs in it by then
   */
  enclose<T>(group: string, limits: GroupLimits, spawn: () => T): T;
  /** Makes a group, with those above it, in which others will put processes; there already is fine. @throws GroupFailure */
  prepare(group: string): void;
  /** Nothing in it executes from then on, nor what is put into it later; until the next `kill`, which thaws it. */
  freeze(group: string): Promise<void>;
  /** One round of: freeze, SIGKILL to all that is in it, thaw. What forks meanwhile is left for the next. */
  kill(group: string): Promise<void>;
  /** Whether there is a process in it at present; for whoever wants to know whether to kill. */
  isOccupied(group: string): boolean;
  /** @returns null while anything runs in it: a group that could be removed was empty [EMPTY] */
  remove(group: string): Removed | null;
}

/** @returns null where processes cannot be enclosed: found out by enclosing nothing, once */
export function findProcessGroups(
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
  membership = readFileSync('/proc/self/cgroup', 'utf8'),
): ProcessGroups | null {
  const hierarchies = parseMounts(mountinfo);
  for (const groups of [
    Version1Groups.find(hierarchies, membership),
    ...Version2Groups.find(hierarchies, membership),
  ])
    if (groups !== null && works(groups)) return groups;
  return null;
}

function works(groups: ProcessGroups): boolean {
  const group = groups.groupOf(`jarvis-probe-${process.pid}-${randomBytes(4).toString('hex')}`);
  try {
    groups.enclose(group, { cpuMillis: null, memoryBytes: null, pids: null }, () => undefined);
    return true;
  } catch {
    // For whatever reason: it cannot be used.
    return false;
  } finally {
    groups.remove(group);
  }
}
