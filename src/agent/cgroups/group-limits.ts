/** What both versions of control groups say of limits. */
import { isErrno } from '../../lib/errno.ts';
import { messageOf } from '../../lib/errors.ts';
import { GroupFailure } from './group-failure.ts';
import type { GroupLimits, LimitName } from './process-groups.ts';

/** The quota of cpu time is counted anew each period. */
export const CPU_PERIOD_US = 100_000;
/** The kernel takes no less. */
const MIN_CPU_QUOTA_US = 1000;

/** Of a group that is weighed against others at all, the daemon's among them: about a ninth of what they have. */
export const CPU_WEIGHT = { version1: 110, version2: 10 };

export function cpuQuotaUs(cpuMillis: number): number {
  return Math.max(MIN_CPU_QUOTA_US, Math.round((cpuMillis * CPU_PERIOD_US) / 1000));
}

export function limitsGiven({ cpuMillis, memoryBytes, pids }: GroupLimits): readonly LimitName[] {
  const given: readonly (readonly [LimitName, number | null])[] = [
    ['cpu', cpuMillis],
    ['pids', pids],
    ['memory', memoryBytes],
  ];
  return given.filter(([, value]) => value !== null).map(([name]) => name);
}

/** @throws GroupFailure: better not started than not limited */
export function refuseUnlimitable(limits: GroupLimits, limitable: ReadonlySet<LimitName>): void {
  const missing = limitsGiven(limits).filter((name) => !limitable.has(name));
  if (missing.length === 0) return;
  const names = missing.map((name) => `limits.${name}`).join(' and ');
  throw new GroupFailure(`this node has no control groups that enforce ${names}`);
}

/** @param what what is done to the group, for the message. @throws GroupFailure */
export function failAt(what: string, group: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    // Nothing else is refused so once it was made: it holds more than the limit that it is given.
    const outOfMemory = what === 'limit memory of' && isErrno(error, 'EBUSY');
    const message = outOfMemory
      ? 'ran out of the memory that it may use'
      : `cannot ${what} the control group ${group}: ${messageOf(error)}`;
    throw new GroupFailure(message, { outOfMemory, cause: error });
  }
}
