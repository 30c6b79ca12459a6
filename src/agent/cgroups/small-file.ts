/** Reads files of the kernel in few system calls: a thousand attempts have several thousands of them. */
import { closeSync, openSync, readSync } from 'node:fs';

import { isErrno } from '../../lib/errno.ts';

/** The longest of them, io.stat of a hundred disks, fits. */
const buffer = Buffer.alloc(16 * 1024);

/**
 * @returns what a read gives, cut after 16 KiB; null where it is not there, goes meanwhile, or is another user's
 * @throws the system's error where that cannot be told, as with too many open files
 */
export function readSmall(file: string): string | null {
  try {
    const descriptor = openSync(file, 'r');
    try {
      return buffer.toString('latin1', 0, readSync(descriptor, buffer));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'ESRCH', 'EACCES', 'EPERM', 'EOPNOTSUPP')) return null;
    throw error;
  }
}
