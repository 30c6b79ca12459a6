/**
 * Descriptors that came from whoever started this process, beside the three of its streams. Node closes its own on exec;
 * others do not (LevelDB leaves the daemon's database open, for writing), and each task would be given them in turn.
 */
import { closeSync, readdirSync, readFileSync } from 'node:fs';

import { isErrno } from '../../lib/errno.ts';

const O_CLOEXEC = 0o2_000_000;
const LAST_OF_THE_STREAMS = 2;

/** To be called before anything is opened: what a task is not to have is told from the rest by that flag alone. */
export function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const descriptor = Number(name);
    if (descriptor > LAST_OF_THE_STREAMS && goesOnToChildren(descriptor)) closeSync(descriptor);
  }
}

function goesOnToChildren(descriptor: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  } catch (error) {
    // The one by which the folder was read.
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
