/** Takes in a snapshot file that another node sends, piece by piece; it counts only when all of it is verified. */
import { dirname } from 'node:path';

import { JarvisError } from '../../lib/errors.ts';
import type { SnapshotMeta } from '../core/types.ts';
import type { DurableFiles, OpenFile } from '../durable-files.ts';
import { StorageError } from '../storage-error.ts';
import { damaged } from './snapshot-format.ts';
import { verifySnapshot, type SnapshotInspection } from './snapshot-reader.ts';
import { systemCall } from './snapshot-writer.ts';

/** What is being received: the same from the same sender may be resumed. */
export interface IncomingSnapshot {
  readonly clusterId: string;
  /** Index and term that the file must have. */
  readonly meta: Pick<SnapshotMeta, 'index' | 'term'>;
  readonly fileBytes: number;
  /** Two nodes' files of the same index differ: a file is resumed only from this very sender. */
  readonly sender: string;
}

export class SnapshotReceiver {
  readonly incoming: IncomingSnapshot;
  readonly #files: DurableFiles;
  readonly #path: string;
  readonly #aside: string;
  #handle: OpenFile | null;
  #nextOffset = 0;
  /** One piece at a time. */
  #busy = false;

  /** Use {@link SnapshotReceiver.begin}. */
  constructor(files: DurableFiles, incoming: IncomingSnapshot, path: string, handle: OpenFile) {
    this.#files = files;
    this.incoming = incoming;
    this.#path = path;
    this.#aside = asideOf(path);
    this.#handle = handle;
  }

  /** Begins anew, with an empty file beside `path`. */
  static async begin(
    files: DurableFiles,
    incoming: IncomingSnapshot,
    path: string,
  ): Promise<SnapshotReceiver> {
    const aside = asideOf(path);
    return new SnapshotReceiver(files, incoming, path, await systemCall(aside, files.open(aside, 'replace')));
  }

  /** Where the next piece must begin. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  get isComplete(): boolean {
    return this.#nextOffset === this.incoming.fileBytes;
  }

  /** False once it was finished or discarded. */
  get isOpen(): boolean {
    return this.#handle !== null;
  }

  /**
   * Resolves with the next offset. What was there already is not written again: a sender may begin earlier.
   * @throws JarvisError invalid for a gap or more than was announced; StorageError storage_failed
   */
  async write(offset: number, bytes: Uint8Array): Promise<number> {
    const handle = this.#openHandle();
    if (offset > this.#nextOffset || offset + bytes.byteLength > this.incoming.fileBytes)
      throw new JarvisError(
        'invalid',
        `${bytes.byteLength} bytes of a snapshot at ${offset}, where ${this.#nextOffset} of ` +
          `${this.incoming.fileBytes} bytes are there`,
      );
    const fresh = bytes.subarray(Math.min(this.#nextOffset - offset, bytes.byteLength));
    await this.#alone(async () => {
      await systemCall(this.#aside, handle.write(fresh, this.#nextOffset));
      this.#nextOffset += fresh.byteLength;
    });
    return this.#nextOffset;
  }

  /**
   * Verifies all of it and gives the file its name, durably; a good one of that name stays until then.
   * @throws StorageError snapshot_corrupt (it is discarded), storage_failed; JarvisError invalid where it is incomplete
   */
  async finish(): Promise<SnapshotInspection> {
    const handle = this.#openHandle();
    if (!this.isComplete)
      throw new JarvisError(
        'invalid',
        `only ${this.#nextOffset} of ${this.incoming.fileBytes} bytes were received`,
      );
    return await this.#alone(async () => {
      try {
        const inspection = await verifySnapshot(this.#aside, this.#files);
        this.#check(inspection);
        await systemCall(this.#aside, handle.sync());
        await this.#close();
        await systemCall(this.#path, this.#files.rename(this.#aside, this.#path));
        await systemCall(this.#path, this.#files.syncDirectory(dirname(this.#path)));
        return inspection;
      } catch (error) {
        await this.#discard();
        throw error;
      }
    });
  }

  /** Deletes what was received. */
  async discard(): Promise<void> {
    await this.#alone(() => this.#discard());
  }

  #check({ header }: SnapshotInspection): void {
    const { clusterId, meta } = this.incoming;
    if (header.clusterId !== clusterId) throw damaged(this.#aside, `it is of cluster ${header.clusterId}`);
    if (header.meta.index !== meta.index || header.meta.term !== meta.term)
      throw damaged(
        this.#aside,
        `it is of index ${header.meta.index} and term ${header.meta.term}, announced were ${meta.index} and ${meta.term}`,
      );
  }

  #openHandle(): OpenFile {
    if (this.#handle !== null) return this.#handle;
    throw new StorageError('snapshot_corrupt', this.#path, 'the reception of this snapshot has ended');
  }

  async #alone<T>(action: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new JarvisError('conflict', 'this snapshot is being received already');
    this.#busy = true;
    try {
      return await action();
    } finally {
      this.#busy = false;
    }
  }

  async #discard(): Promise<void> {
    await this.#close();
    await this.#files.remove(this.#aside);
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }
}

function asideOf(path: string): string {
  return `${path}.tmp`;
}
