/** The files of an attempt's log as pieces of a stream, and their names. */
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import type { LogPiece } from '../../generated/log_hand_over.ts';
import type { ByteRate } from '../../lib/byte-rate.ts';
import { isErrno } from '../../lib/errno.ts';
import { JarvisError } from '../../lib/errors.ts';
import { isLogFileName, listLogFiles, logFileName } from '../watchdog/log-format.ts';
import type { KeptAttempt } from './attempt-directories.ts';
import { LOG_LIMITS } from './limits.ts';

/**
 * Header, data, end. No faster than the rate, which all share.
 * @throws the error of the file system: ENOENT where retention has removed it; JarvisError timeout when the signal is aborted
 */
export async function* piecesOf(
  { key, directory, endedAtMs }: KeptAttempt,
  options: { readonly clusterId: string; readonly rate: ByteRate; readonly signal: AbortSignal },
): AsyncGenerator<LogPiece> {
  const { clusterId, rate, signal } = options;
  const files = (await listLogFiles(directory)).map((sequence) => ({
    sequence,
    file: path.join(directory, logFileName(sequence)),
  }));
  let bytes = 0;
  for (const { file } of files) bytes += (await stat(file)).size;
  const attempt = { task_id: key.taskId, assignment: key.assignment, ended_ms: Math.round(endedAtMs) };
  yield { kind: { $case: 'header', value: { cluster_id: clusterId, ...attempt, bytes } } };
  for (const { sequence, file } of files) {
    await using handle = await open(file, 'r');
    for (;;) {
      const buffer = Buffer.allocUnsafe(LOG_LIMITS.chunkBytes);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      await rate.take(bytesRead, signal);
      if (signal.aborted) throw new JarvisError('timeout', 'the time for it is over');
      const data = buffer.subarray(0, bytesRead);
      yield { kind: { $case: 'data', value: { sequence, data, checksum: crc32(data) } } };
    }
  }
  yield { kind: { $case: 'end', value: { bytes } } };
}

/** Whether there is anything to send of it. */
export async function hasLog(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).some(isLogFileName);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
