/** Reads the small files that a task leaves behind. The task chose what lies there: nothing is followed or trusted. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { messageOf } from '../../lib/errors.ts';
import type { Diagnose } from './diagnostics.ts';
import { isErrno } from '../../lib/errno.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

/** @returns null where there is no regular file of at most 4 KiB */
export async function readSmallFile(path: string, diagnose: Diagnose): Promise<string | null> {
  try {
    // O_NONBLOCK: to open a FIFO must not wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const status = await file.stat();
      if (!status.isFile() || status.size > WATCHDOG_LIMITS.maxTextBytes) return null;
      const buffer = Buffer.alloc(WATCHDOG_LIMITS.maxTextBytes);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT'))
      diagnose('a file of a task does not read', { path, error: messageOf(error) });
    return null;
  }
}
