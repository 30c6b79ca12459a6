/**
 * Ends of attempts on disk until the leader has acknowledged them: an append-only file `reports.log` of lines, each
 * `<crc32 in hex> <JSON>`, the JSON `{"put": report}` or `{"ack": [taskId, assignment]}`. Written anew whenever it is
 * opened, and when much of it is no longer needed. A damaged line is left out: the driver still has the record of an
 * attempt that was not acknowledged.
 */
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

import { JarvisError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { AttemptReport } from '../../model/commands.ts';
import type { AttemptKey } from '../drivers/driver.ts';
import { WORKER_LIMITS } from './limits.ts';
import { nameOf } from './report-outbox.ts';

interface Write {
  readonly line: string;
  /** Of an acknowledgement nothing is lost with a power cut: its report is sent once more, which changes nothing. */
  readonly mustSync: boolean;
  readonly done: (error: unknown) => void;
}

type StoredLine = { readonly put: AttemptReport } | { readonly ack: readonly [string, number] };

/** What lines lack that were written before there were containers. */
const NEWER_FIELDS: Pick<AttemptReport, 'note' | 'imageDigest'> = { note: '', imageDigest: null };

export class ReportStore {
  readonly #directory: string;
  #file: FileHandle;
  #queue: Write[] = [];
  /** The write under way, and those that follow it; null: none. */
  #writing: Promise<void> | null = null;
  #closed = false;
  /** Lines that are still needed, by attempt. */
  readonly #live: Map<string, string>;
  #garbageBytes = 0;

  private constructor(directory: string, file: FileHandle, live: Map<string, string>) {
    this.#directory = directory;
    this.#file = file;
    this.#live = live;
  }

  /** Opens or makes the store below `directory`; `reports` are those that were never acknowledged. */
  static async open(
    directory: string,
    log: Log,
  ): Promise<{ readonly store: ReportStore; readonly reports: readonly AttemptReport[] }> {
    await mkdir(directory, { recursive: true });
    const reports = new Map<string, AttemptReport>();
    let damaged = 0;
    for (const line of (await readText(join(directory, 'reports.log'))).split('\n')) {
      if (line === '') continue;
      const stored = decodeLine(line);
      if (stored === null) damaged += 1;
      else if ('put' in stored) reports.set(nameOf(stored.put), { ...NEWER_FIELDS, ...stored.put });
      else reports.delete(nameOf({ taskId: stored.ack[0], assignment: stored.ack[1] }));
    }
    if (damaged > 0) log.warn({ damaged, directory }, 'left out damaged lines of the reports file');
    const live = new Map([...reports].map(([name, report]) => [name, encodeLine({ put: report })]));
    const file = await writeAnew(directory, live);
    return { store: new ReportStore(directory, file, live), reports: [...reports.values()] };
  }

  /**
   * Resolves once the report is durable.
   * @throws JarvisError too_many where too many are unacknowledged, unavailable where the disk fails
   */
  async put(report: AttemptReport): Promise<void> {
    if (this.#live.size >= WORKER_LIMITS.storedReports && !this.#live.has(nameOf(report))) {
      throw new JarvisError('too_many', `${this.#live.size} reports wait for the leader`);
    }
    const line = encodeLine({ put: report });
    this.#live.set(nameOf(report), line);
    await this.#append(line, true);
  }

  /** The leader has the report: it is no longer needed. Resolves once that is written, though it may not be synced. */
  async acknowledge(key: AttemptKey): Promise<void> {
    const line = this.#live.get(nameOf(key));
    if (line === undefined) return;
    this.#live.delete(nameOf(key));
    const ack = encodeLine({ ack: [key.taskId, key.assignment] });
    this.#garbageBytes += line.length + ack.length;
    await this.#append(ack, false);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { done } of this.#queue.splice(0)) done(new JarvisError('unavailable', 'the store is closed'));
    await this.#writing;
    await this.#file.close();
  }

  #append(line: string, mustSync: boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#closed) {
      reject(new JarvisError('unavailable', 'the store is closed'));
      return promise;
    }
    const done = (error: unknown): void => (error === null ? resolve() : reject(error));
    this.#queue.push({ line, mustSync, done });
    this.#writing ??= this.#write();
    return promise;
  }

  /** What is asked for at the same moment, or queues while one write is synced, goes into the next. */
  async #write(): Promise<void> {
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const writes = this.#queue.splice(0);
      try {
        if (this.#garbageBytes > WORKER_LIMITS.storeGarbageBytes) await this.#rewrite();
        else {
          await this.#file.appendFile(writes.map(({ line }) => line).join(''));
          if (writes.some(({ mustSync }) => mustSync)) await this.#file.datasync();
        }
        for (const { done } of writes) done(null);
      } catch (cause) {
        const error = new JarvisError('unavailable', 'the reports file cannot be written', { cause });
        // What a failed write left behind is unknown: the next one writes the file anew.
        this.#garbageBytes = Infinity;
        for (const { done } of writes) done(error);
      }
    }
    this.#writing = null;
  }

  /** The live lines contain what is queued. */
  async #rewrite(): Promise<void> {
    const file = await writeAnew(this.#directory, this.#live);
    this.#garbageBytes = 0;
    await this.#file.close();
    this.#file = file;
  }
}

async function writeAnew(directory: string, live: ReadonlyMap<string, string>): Promise<FileHandle> {
  const temporary = join(directory, 'reports.tmp');
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.appendFile([...live.values()].join(''));
    await file.sync();
    await rename(temporary, join(directory, 'reports.log'));
    const folder = await open(directory, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

function encodeLine(stored: StoredLine): string {
  const json = JSON.stringify(stored);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function decodeLine(line: string): StoredLine | null {
  const json = line.slice(9);
  if (crc32(json).toString(16).padStart(8, '0') !== line.slice(0, 8)) return null;
  // The checksum says that this is what was written.
  return JSON.parse(json) as StoredLine;
}
