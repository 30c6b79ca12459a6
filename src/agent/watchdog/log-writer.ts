/**
 * Writes an attempt's log: bounded in all (oldest file dropped), one write under way at a time, what queued meanwhile goes
 * into the next. A disk that refuses output costs that output, never the task.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { LogLimits } from './limits.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import type { LogStream } from './log-format.ts';
import { encodeLogFrame, listLogFiles, logFileName, MAX_LOG_DATA_BYTES } from './log-format.ts';
import { OutputCounters } from './output-counters.ts';

export class AttemptLogWriter {
  readonly #directory: string;
  readonly #limits: LogLimits;
  readonly #counters: OutputCounters;
  #file: FileHandle | null = null;
  #fileBytes = 0;
  /** The files there are, the newest last. */
  readonly #files: number[];
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | null = null;
  #onDrain: () => void = () => {};
  #lostBytes = 0;
  #lastError: unknown = null;

  /** Use {@link AttemptLogWriter.create}. */
  constructor(
    directory: string,
    limits: LogLimits,
    { present, counters }: { readonly present: readonly number[]; readonly counters: OutputCounters },
  ) {
    this.#directory = directory;
    this.#limits = limits;
    this.#counters = counters;
    this.#files = [...present];
  }

  /**
   * Begins a new file after those that are there: their tails may be torn. The directory must exist.
   * @param counters of the process, to which it adds
   */
  static async create(
    directory: string,
    limits: LogLimits,
    counters: OutputCounters = new OutputCounters(),
  ): Promise<AttemptLogWriter> {
    return new AttemptLogWriter(directory, limits, { present: await listLogFiles(directory), counters });
  }

  /** Output that the disk did not take, and why. */
  get loss(): { readonly bytes: number; readonly error: unknown } {
    return { bytes: this.#lostBytes, error: this.#lastError };
  }

  /** Called each time the queue has emptied enough for more. */
  set onDrain(callback: () => void) {
    this.#onDrain = callback;
  }

  /** @returns false where the source should pause until `onDrain` */
  write(stream: LogStream, atMs: number, data: Buffer): boolean {
    for (let at = 0; at < data.length; at += MAX_LOG_DATA_BYTES)
      this.#enqueue(encodeLogFrame(stream, atMs, data.subarray(at, at + MAX_LOG_DATA_BYTES)));
    return this.#queuedBytes < WATCHDOG_LIMITS.maxUnwrittenLogBytes;
  }

  /** Writes the mark after which followers stop; resolves once all is written and the file closed. */
  async end(atMs: number): Promise<void> {
    this.#enqueue(encodeLogFrame('end', atMs, Buffer.alloc(0)));
    await this.release();
  }

  /** Writes what there is and closes the file; somebody else goes on with the log. */
  async release(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    await this.#closeFile();
  }

  #enqueue(frame: Buffer): void {
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#writing ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // The caller must have stored the promise before this ends.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      await this.#append(batch);
      this.#queuedBytes -= batch.length;
      if (this.#queuedBytes < WATCHDOG_LIMITS.maxUnwrittenLogBytes) this.#onDrain();
    }
    this.#writing = null;
  }

  /** As many frames as the current file still holds; where it holds none, as many as a new one holds, at least one. */
  #takeBatch(): Buffer {
    const { maxFileBytes } = this.#limits;
    const first = this.#queue[0]?.length ?? 0;
    const room = this.#fileBytes + first > maxFileBytes ? maxFileBytes : maxFileBytes - this.#fileBytes;
    let bytes = first;
    let count = 1;
    for (; count < this.#queue.length; count += 1) {
      const length = this.#queue[count]?.length ?? 0;
      if (bytes + length > room) break;
      bytes += length;
    }
    return Buffer.concat(this.#queue.splice(0, count));
  }

  async #append(batch: Buffer): Promise<void> {
    try {
      const full = this.#fileBytes > 0 && this.#fileBytes + batch.length > this.#limits.maxFileBytes;
      if (this.#file === null || full) await this.#nextFile();
      await this.#file?.appendFile(batch);
      this.#fileBytes += batch.length;
      this.#counters.writtenBytes += batch.length;
    } catch (error) {
      this.#lostBytes += batch.length;
      this.#counters.lostBytes += batch.length;
      this.#lastError = error;
      await this.#cutTorn();
    }
  }

  /**
   * Whatever part of the batch was written is a torn frame. The file goes on without it: another file for each refusal
   * would push out what was kept before. Where it cannot be cut, the log goes on in another file.
   */
  async #cutTorn(): Promise<void> {
    try {
      await this.#file?.truncate(this.#fileBytes);
    } catch (error) {
      this.#lastError = error;
      await this.#closeFile();
    }
  }

  async #nextFile(): Promise<void> {
    await this.#closeFile();
    const sequence = (this.#files.at(-1) ?? 0) + 1;
    this.#file = await open(join(this.#directory, logFileName(sequence)), 'ax', 0o600);
    this.#files.push(sequence);
    this.#fileBytes = 0;
    while (this.#files.length > this.#limits.maxFiles) {
      const [oldest = sequence] = this.#files;
      await rm(join(this.#directory, logFileName(oldest)), { force: true });
      this.#files.shift();
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    try {
      await file?.close();
    } catch (error) {
      this.#lastError = error;
    }
  }
}
