/** LevelDB as the store uses it: opened strictly, every error told apart by its code. */
import { ClassicLevel } from 'classic-level';

import { messageOf } from '../lib/errors.ts';
import { StorageError } from '../raft/storage-error.ts';
import { StoreDamagedError } from './errors.ts';

export type Level = ClassicLevel<string, Uint8Array>;

/** One call of a scan: what comes back is worked on in one turn of the event loop. */
export const SCAN_ROWS = 512;
export const SCAN_BYTES = 256 * 1024;
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024;

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** @throws StoreDamagedError, or StorageError directory_refused where another process has it open */
export async function openLevel(directory: string, options: { readonly create: boolean }): Promise<Level> {
  const level: Level = new ClassicLevel<string, Uint8Array>(directory, {
    keyEncoding: 'utf8',
    valueEncoding: 'view',
    createIfMissing: options.create,
    errorIfExists: false,
    writeBufferSize: WRITE_BUFFER_BYTES,
  });
  try {
    await level.open();
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (codeOf(cause) === 'LEVEL_LOCKED') {
      throw new StorageError('directory_refused', directory, 'another process has the store open', {
        cause: error,
      });
    }
    throw new StoreDamagedError('unreadable', directory, `LevelDB does not open: ${messageOf(cause)}`, {
      cause: error,
    });
  }
  return level;
}

/** Reads; what LevelDB reports is damage, what ends a read on a closing store is not. */
export async function reading<T>(level: Level, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof StoreDamagedError || level.status !== 'open') throw error;
    throw new StoreDamagedError('unreadable', level.location, `a read failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
