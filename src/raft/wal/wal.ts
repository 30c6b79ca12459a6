/**
 * The write-ahead log: term, vote, entries, truncations and snapshots, durable in the order of the calls. This is the
 * asynchronous front; the format is in `batch-format.ts` and `segment-header.ts`, what happens to a damaged log in
 * `recovery.ts`, writing in `segment-writer.ts`. Why not LevelDB: docs/storage.md.
 */
import { invariant } from '../../lib/assert.ts';
import type { Entry, HardState, SnapshotMeta } from '../core/types.ts';
import type { LogBase, LogStore } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { encodeRecords, type LogRecord } from './batch-format.ts';
import { nodeLogFiles, type LogFiles } from './log-files.ts';
import { LogShape } from './log-shape.ts';
import { recoverLog, type RecoveredLog, type WalRecovery } from './recovery.ts';
import type { LogIdentity } from './segment-header.ts';
import { createLog, type WriterSettings } from './segment-writer.ts';
import {
  InlineWriter,
  startThreadWriter,
  writeFailure,
  type LogWriter,
  type WriterEvents,
} from './writers.ts';

const SEGMENT_BYTES = 16 * 1024 * 1024;

export interface WalOptions {
  /** Begin a new log where there is none; otherwise that is `log_missing`. */
  readonly create: boolean;
  /** Size of a segment; a batch that does not fit gets a larger one. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Index of the newest checkpoint or snapshot: a log that ends below it has lost something. Default 0. */
  readonly mustReach?: number;
  /** Told the duration of every sync. */
  readonly onFsync?: (durationMs: number) => void;
  /** A simulated disk: the log is then written without a thread. */
  readonly files?: LogFiles;
}

export interface WalStats {
  readonly segments: number;
  /** On disk, unused room included. */
  readonly bytes: number;
  readonly lastFsyncMs: number;
  readonly fsyncs: number;
  /** Each is one sync, of one append or of many. */
  readonly batches: number;
  /** Appends and compactions that are not durable yet. */
  readonly pending: number;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: StorageError) => void;
}

export class Wal implements LogStore {
  readonly #shape: LogShape;
  readonly #onFsync: (durationMs: number) => void;
  readonly #failure = Promise.withResolvers<never>();
  /** One per request that was posted and is not durable; bounded by what the core hands out at a time. */
  readonly #waiting: Waiter[] = [];
  #writer: LogWriter | null = null;
  #error: StorageError | null = null;
  #closing: Promise<void> | null = null;
  #lastFsyncMs = 0;
  #fsyncs = 0;

  /** Use {@link Wal.open}. */
  constructor(shape: LogShape, onFsync: (durationMs: number) => void) {
    this.#shape = shape;
    this.#onFsync = onFsync;
    // Nobody need wait for it: whoever appends is told too.
    this.#failure.promise.catch(() => {});
  }

  /**
   * Recovers the log in `directory`, or begins one. A torn tail is cut off; on an error nothing has been changed.
   * Blocks the event loop while it reads. Only one process may: the data directory's lock sees to it.
   * @throws StorageError log_corrupt, log_foreign, log_missing, format_unknown, storage_failed
   */
  static async open(
    directory: string,
    identity: LogIdentity,
    options: WalOptions,
  ): Promise<{ wal: Wal; recovery: WalRecovery }> {
    const files = options.files ?? nodeLogFiles;
    const settings = { directory, identity, segmentBytes: options.segmentBytes ?? SEGMENT_BYTES };
    const { recovery, position } = openFiles(files, settings, options);
    const wal = new Wal(new LogShape(recovery.snapshot, recovery.entries), options.onFsync ?? (() => {}));
    const events: WriterEvents = {
      written: (requests, syncMs) => wal.#onWritten(requests, syncMs),
      failed: (error) => wal.#fail(error),
    };
    wal.#writer =
      options.files === undefined
        ? await startThreadWriter({ settings, position, events })
        : guard(settings, () => new InlineWriter(files, settings, position, events));
    return { wal, recovery };
  }

  /** Rejects with the error that ended acknowledgements; never resolves. */
  get failure(): Promise<never> {
    return this.#failure.promise;
  }

  /**
   * Resolves when durable, in the order of the calls. Entries at or below the last index replace what is there; a
   * snapshot replaces the log up to its index, and what follows it too unless the log holds its last entry.
   * `entries` may be reused by the caller afterwards: they are encoded at once.
   * @throws StorageError storage_failed: the outcome of this write is unknown, and so of all later ones
   */
  async append(request: {
    readonly hardState: HardState | null;
    readonly entries: readonly Entry[];
    readonly snapshot: SnapshotMeta | null;
  }): Promise<void> {
    this.#assertUsable();
    const records = this.#shape.append(request);
    await this.#post(records, { hardState: request.hardState, base: request.snapshot, compacts: false });
  }

  /**
   * A durable snapshot file covers the log up to `base.index`: recovery begins behind it, and whole segments below go.
   * Does nothing where the log begins later already.
   * @throws StorageError storage_failed, as append
   */
  async compact(base: LogBase): Promise<void> {
    this.#assertUsable();
    if (base.index < this.#shape.baseIndex) return;
    const record = this.#shape.compact(base);
    // At the base itself (a snapshot that was installed) segments may be left to delete, also with nothing to record.
    await this.#post(record === null ? [] : [record], {
      hardState: null,
      base: record === null ? null : base,
      compacts: true,
    });
  }

  stats(): WalStats {
    const { segments, bytes } = this.#writer?.stats ?? { segments: 0, bytes: 0 };
    const [lastFsyncMs, fsyncs] = [this.#lastFsyncMs, this.#fsyncs];
    return { segments, bytes, lastFsyncMs, fsyncs, batches: fsyncs, pending: this.#waiting.length };
  }

  /** Resolves once all that was appended is durable, or has failed, and the files are released. */
  async close(): Promise<void> {
    this.#closing ??= this.#writer?.close() ?? Promise.resolve();
    await this.#closing;
  }

  async #post(
    records: readonly LogRecord[],
    effect: { hardState: HardState | null; base: LogBase | null; compacts: boolean },
  ): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#writer?.post({ ...effect, records: encodeRecords(records), lastIndex: this.#shape.lastIndex });
    });
  }

  #assertUsable(): void {
    if (this.#error !== null) throw this.#error;
    invariant(this.#closing === null, 'the log is not used after close');
  }

  #onWritten(requests: number, syncMs: number | null): void {
    if (this.#error !== null) return;
    for (const waiter of this.#waiting.splice(0, requests)) waiter.resolve();
    if (syncMs === null) return;
    this.#fsyncs += 1;
    this.#lastFsyncMs = syncMs;
    this.#onFsync(syncMs);
  }

  #fail(error: StorageError): void {
    if (this.#error !== null) return;
    this.#error = error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    this.#failure.reject(error);
  }
}

function openFiles(
  files: LogFiles,
  settings: WriterSettings,
  options: WalOptions,
): Pick<RecoveredLog, 'recovery' | 'position'> {
  const { directory, identity } = settings;
  const mustReach = options.mustReach ?? 0;
  const recovered = guard(settings, () => recoverLog(files, directory, identity, { mustReach }));
  if (recovered !== null) return recovered;
  if (!options.create || mustReach > 0)
    throw new StorageError('log_missing', directory, 'the log is missing');
  const position = guard(settings, () => createLog(files, settings));
  const { hardState } = position.state;
  return { recovery: { hardState, snapshot: null, entries: [], repaired: null }, position };
}

/** What the system says about the files is a failure of the storage; what recovery finds in them has a kind already. */
function guard<T>(settings: WriterSettings, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof StorageError || !(error instanceof Error) || !('code' in error)) throw error;
    throw writeFailure(settings, error, error.message);
  }
}
