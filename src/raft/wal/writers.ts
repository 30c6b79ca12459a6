/** The two ways to run a {@link SegmentWriter}: on a thread of its own, or inline above files that are simulated. */
import { Worker } from 'node:worker_threads';

import { programFile } from '../../lib/program-files.ts';
import { StorageError } from '../storage-error.ts';
import type { LogFiles } from './log-files.ts';
import type { WriterPosition } from './recovery.ts';
import { SegmentWriter, type WriteRequest, type WriterSettings, type WriterStats } from './segment-writer.ts';
import { takeBatch } from './take-batch.ts';
import type { FromThread, ThreadStart, ToThread } from './writer-thread.ts';

export interface WriterEvents {
  /** So many requests more, in order, are durable. */
  written(requests: number, syncMs: number | null, stats: WriterStats): void;
  /** At most once; nothing is written afterwards. */
  failed(error: StorageError): void;
}

export interface LogWriter {
  readonly stats: WriterStats;
  post(request: WriteRequest): void;
  /** Writes what is queued, and releases the files. */
  close(): Promise<void>;
}

interface WriterOptions extends ThreadStart {
  readonly events: WriterEvents;
}

export function writeFailure(settings: WriterSettings, cause: unknown, what: string): StorageError {
  return new StorageError('storage_failed', settings.directory, `the log cannot be written: ${what}`, {
    cause,
  });
}

/** Resolves once the thread has opened the files. @throws StorageError storage_failed */
export async function startThreadWriter(options: WriterOptions): Promise<LogWriter> {
  const { settings, position, events } = options;
  const workerData: ThreadStart = { settings, position };
  const worker = new Worker(programFile('raft/wal/writer-thread'), {
    workerData,
    execArgv: [],
    name: 'jarvis-log',
  });
  const ready = Promise.withResolvers<WriterStats>();
  const exited = Promise.withResolvers<void>();
  let closed = false;
  let stats: WriterStats = { segments: 0, bytes: 0 };
  const fail = (cause: unknown, what: string): void => {
    const error = writeFailure(settings, cause, what);
    ready.reject(error);
    events.failed(error);
  };
  worker.on('message', (message: FromThread) => {
    switch (message.type) {
      case 'ready':
        ready.resolve(message.stats);
        break;
      case 'written':
        ({ stats } = message);
        events.written(message.requests, message.syncMs, message.stats);
        break;
      case 'failed':
        closed = true;
        fail(Object.assign(new Error(message.message), { code: message.systemCode }), message.message);
        break;
      case 'closed':
        closed = true;
        break;
    }
  });
  worker.on('error', (error) => fail(error, 'its thread failed'));
  worker.on('exit', (code) => {
    if (!closed) fail(new Error(`exit code ${code}`), 'its thread has ended');
    exited.resolve();
  });
  stats = await ready.promise;
  return {
    get stats() {
      return stats;
    },
    post(request) {
      const message: ToThread = { type: 'write', request };
      worker.postMessage(message, [request.records.buffer as ArrayBuffer]);
    },
    async close() {
      const message: ToThread = { type: 'close' };
      worker.postMessage(message, []);
      await exited.promise;
    },
  };
}

/** For simulations: what is posted in one turn is written as one batch in the next microtask. */
export class InlineWriter implements LogWriter {
  readonly #writer: SegmentWriter;
  readonly #settings: WriterSettings;
  readonly #events: WriterEvents;
  readonly #queue: WriteRequest[] = [];
  #failed = false;

  constructor(files: LogFiles, settings: WriterSettings, position: WriterPosition, events: WriterEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#writer = new SegmentWriter(files, settings, position);
  }

  get stats(): WriterStats {
    return this.#writer.stats;
  }

  post(request: WriteRequest): void {
    this.#queue.push(request);
    if (this.#queue.length === 1) queueMicrotask(() => this.#drain());
  }

  async close(): Promise<void> {
    this.#drain();
    if (!this.#failed) this.#writer.close();
    await Promise.resolve();
  }

  #drain(): void {
    while (this.#queue.length > 0 && !this.#failed) {
      const batch = takeBatch(this.#queue);
      try {
        const syncMs = this.#writer.write(batch);
        this.#events.written(batch.length, syncMs, this.#writer.stats);
      } catch (error) {
        this.#failed = true;
        this.#events.failed(writeFailure(this.#settings, error, error instanceof Error ? error.message : ''));
      }
    }
  }
}
