/** Which process it is: an id alone is used again. */
import { readFileSync } from 'node:fs';

/**
 * When a process began, as its kernel counts: with its id this names one process for ever, ids being used again.
 * @returns null where there is no such process, or no /proc to ask
 */
export function processStartTime(pid: number): string | null {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): the second field, the name in parentheses, may hold anything; then the state, and in the 22nd place the
    // start time. A zombie runs no more.
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
