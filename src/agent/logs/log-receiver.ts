/**
 * Takes the logs of attempts that ran on a node which is about to leave, one by one, whole or not at all: a log is written
 * aside, checked, synced, and put in its place below `tasks/`, where it is like one of this node's own.
 */
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, rename, rm, statfs, utimes } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import type { LogHeader, LogPiece, LogReceipt } from '../../generated/log_hand_over.ts';
import { JarvisError } from '../../lib/errors.ts';
import { isErrno } from '../../lib/errno.ts';
import { formatMemoryBytes } from '../../lib/quantities.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import { logFileName } from '../watchdog/log-format.ts';
import { attemptDirectory, attemptName, isAttemptKey } from '../watchdog/paths.ts';
import { syncDirectory } from '../watchdog/record-store.ts';
import { leastRoomBytes } from '../worker/pressure.ts';
import { exists } from './attempt-directories.ts';
import { LOG_LIMITS } from './limits.ts';

export interface LogReceiverOptions {
  readonly dataDirectory: string;
  readonly clusterId: string;
  /** What retention leaves for it. */
  readonly room: { readonly roomBytes: number; took(bytes: number): void };
}

export class LogReceiver {
  readonly #options: LogReceiverOptions;
  /** Names of what is written aside. */
  #count = 0;
  #active = 0;
  /** Of logs that are being taken: their room is theirs already. */
  #expectedBytes = 0;

  constructor(options: LogReceiverOptions) {
    this.#options = options;
  }

  /** Removes what an earlier start has received in part. */
  async clear(): Promise<void> {
    await rm(this.#asideRoot, { recursive: true, force: true });
  }

  /** @throws JarvisError forbidden */
  async roomBytes(clusterId: string): Promise<number> {
    this.#expectCluster(clusterId);
    return await this.#roomBytes();
  }

  /** What retention leaves, and the disk: taking logs must not bring the node itself into need. */
  async #roomBytes(): Promise<number> {
    const { bavail, blocks, bsize } = await statfs(this.#options.dataDirectory);
    const spareBytes = bavail * bsize - 2 * leastRoomBytes('disk', blocks * bsize);
    return Math.max(0, Math.min(this.#options.room.roomBytes, spareBytes) - this.#expectedBytes);
  }

  /**
   * @throws JarvisError forbidden, invalid and malformed for what can never be taken; too_many where there is no room;
   * unavailable where it broke off, or too much comes at once
   */
  async take(pieces: AsyncIterable<LogPiece>): Promise<LogReceipt> {
    if (this.#active >= LOG_LIMITS.takenAtOnce)
      throw new JarvisError('unavailable', `${LOG_LIMITS.takenAtOnce} logs are being taken already`);
    this.#active += 1;
    try {
      const iterator = pieces[Symbol.asyncIterator]();
      const header = headerOf(await iterator.next());
      const key = this.#accept(header);
      const place = attemptDirectory(this.#options.dataDirectory, key);
      if (await exists(place)) return { was_held: true };
      return { was_held: !(await this.#reserve(header, key, { [Symbol.asyncIterator]: () => iterator })) };
    } finally {
      this.#active -= 1;
    }
  }

  #accept(header: LogHeader): AttemptKey {
    this.#expectCluster(header.cluster_id);
    const key = { taskId: header.task_id, assignment: header.assignment };
    if (!isAttemptKey(key)) throw new JarvisError('invalid', `${JSON.stringify(key)} names no attempt`);
    return key;
  }

  #expectCluster(clusterId: string): void {
    if (clusterId !== this.#options.clusterId)
      throw new JarvisError('forbidden', `this node is of another cluster than ${JSON.stringify(clusterId)}`);
  }

  async #reserve(header: LogHeader, key: AttemptKey, pieces: AsyncIterable<LogPiece>): Promise<boolean> {
    const { bytes } = header;
    const roomBytes = await this.#roomBytes();
    if (bytes > roomBytes) {
      const [wanted, there] = [formatMemoryBytes(bytes), formatMemoryBytes(roomBytes)];
      throw new JarvisError('too_many', `there is no room for ${wanted}, only for ${there}`);
    }
    this.#expectedBytes += bytes;
    try {
      return await this.#write(header, key, pieces);
    } finally {
      this.#expectedBytes -= bytes;
    }
  }

  /** @returns whether it took its place; false: another was quicker */
  async #write(header: LogHeader, key: AttemptKey, pieces: AsyncIterable<LogPiece>): Promise<boolean> {
    this.#count += 1;
    const aside = path.join(this.#asideRoot, `${attemptName(key)}.${this.#count}`);
    await mkdir(aside, { recursive: true, mode: 0o700 });
    try {
      await writeFiles(aside, header, pieces);
      await syncDirectory(aside);
      const place = attemptDirectory(this.#options.dataDirectory, key);
      const isNew = await moveTo(aside, place);
      await syncDirectory(path.dirname(place));
      if (isNew) this.#options.room.took(header.bytes);
      return isNew;
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }

  get #asideRoot(): string {
    return path.join(this.#options.dataDirectory, 'logs-incoming');
  }
}

function headerOf(first: IteratorResult<LogPiece>): LogHeader {
  const kind = first.done === true ? undefined : first.value.kind;
  if (kind?.$case !== 'header') throw new JarvisError('malformed', 'a log begins with its header');
  return kind.value;
}

/** Each file synced, with the time of the log's end. */
async function writeFiles(
  directory: string,
  header: LogHeader,
  pieces: AsyncIterable<LogPiece>,
): Promise<void> {
  let file: FileHandle | null = null;
  let sequence = 0;
  let bytes = 0;
  const close = async (): Promise<void> => {
    await file?.datasync();
    await file?.close();
    file = null;
    if (sequence > 0) {
      const endedAt = new Date(header.ended_ms);
      await utimes(path.join(directory, logFileName(sequence)), endedAt, endedAt);
    }
  };
  try {
    for await (const { kind } of pieces) {
      if (kind?.$case === 'end') {
        if (bytes !== header.bytes || kind.value.bytes !== bytes)
          throw new JarvisError('malformed', `the log has ${bytes} bytes, not ${header.bytes}`);
        return await close();
      }
      if (kind?.$case !== 'data')
        throw new JarvisError('malformed', 'a piece of a log is its data or its end');
      const { data, checksum } = kind.value;
      if (crc32(data) !== checksum)
        throw new JarvisError('unavailable', 'a piece of a log was damaged on its way');
      bytes += data.length;
      if (bytes > header.bytes)
        throw new JarvisError('malformed', `the log has more than ${header.bytes} bytes`);
      if (kind.value.sequence !== sequence) {
        if (kind.value.sequence < sequence)
          throw new JarvisError('malformed', 'the files of a log must rise');
        await close();
        ({ sequence } = kind.value);
        file = await open(path.join(directory, logFileName(sequence)), 'wx', 0o600);
      }
      await file?.appendFile(data);
    }
    throw new JarvisError('unavailable', 'the log broke off before its end');
  } finally {
    await file?.close();
  }
}

/** @returns false where there is something already */
async function moveTo(aside: string, place: string): Promise<boolean> {
  for (let isFirst = true; ; isFirst = false) {
    await mkdir(path.dirname(place), { recursive: true, mode: 0o700 });
    try {
      await rename(aside, place);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return false;
      // Retention removes the directory of a task in the moment when it is empty.
      if (!isFirst || !isErrno(error, 'ENOENT')) throw error;
    }
  }
}
