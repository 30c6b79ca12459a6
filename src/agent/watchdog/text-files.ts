/** Reads the small files that a task leaves behind. The task chose what lies there: nothing is followed or trusted. */
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';

import { messageOf } from '../../lib/errors.ts';
import type { Diagnose } from './diagnostics.ts';
import { isErrno } from '../../lib/errno.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

/**
 * To be called once nothing of the task runs any more.
 * @returns null where there is no regular file of at most 4 KiB of UTF-8 that has this name alone
 */
export async function readSmallFile(path: string, diagnose: Diagnose): Promise<string | null> {
  try {
    // Before it is opened: opening a device does things to it.
    if (!isPlain(await lstat(path))) return null;
    // O_NONBLOCK: to open a FIFO must not wait for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (!isPlain(await file.stat())) return null;
      const buffer = Buffer.alloc(WATCHDOG_LIMITS.maxTextBytes);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT'))
      diagnose('a file of a task does not read', { path, error: messageOf(error) });
    return null;
  }
}

/** With another name it may be a file that the task could not read itself. */
function isPlain(status: Stats): boolean {
  return status.isFile() && status.nlink === 1 && status.size <= WATCHDOG_LIMITS.maxTextBytes;
}
