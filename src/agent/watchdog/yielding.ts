/**
 * Attempts give way to the daemon, so that a node full of busy tasks still sends its heartbeats in time: where both want
 * the processor, each gets about a ninth of what it would have otherwise. Containers are weighed by their engine.
 */
import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** What a process starts inherits it. Each step is a factor of about 1.25 (sched(7)). */
const NICENESS = constants.priority.PRIORITY_BELOW_NORMAL;

/** To be called right after the fork. @param tell once for each that cannot be made to, with the reason */
export function makeYield(pid: number, tell: (error: unknown) => void): void {
  try {
    setPriority(pid, NICENESS);
    // Where the kernel weighs whole sessions (autogroup, sched(7)), a niceness counts only within its own.
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS), { flag: 'r+' });
  } catch (error) {
    // What is gone already needs none; there are kernels without autogroups, and who is not root may set few at a time.
    if (!isExpected(error)) tell(error);
  }
}

function isExpected(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code =
    'info' in error ? (error.info as { readonly code?: unknown }).code : 'code' in error && error.code;
  return code === 'ESRCH' || code === 'ENOENT' || code === 'EAGAIN';
}
