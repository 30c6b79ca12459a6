/** Takes in a snapshot file that another node sends, piece by piece; it counts only when all of it is verified. */
import { dirname, join } from 'node:path';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import { isErrno } from '../../lib/errno.ts';
import type { DurableFiles, OpenFile } from '../durable-files.ts';
import { isStorageError, StorageError } from '../storage-error.ts';
import { partialName, type IncomingSnapshot } from './partial-files.ts';
import { damaged, snapshotName, type SnapshotHeader } from './snapshot-format.ts';
import { verifiedPrefix, verifySnapshot, type SnapshotInspection } from './snapshot-reader.ts';

export class SnapshotReceiver {
  readonly incoming: IncomingSnapshot;
  readonly #path: string;
  readonly #partial: string;
  readonly #files: DurableFiles;
  #handle: OpenFile | null;
  #nextOffset: number;
  /** One piece at a time. */
  #busy = false;
  /** What is there stays for another start of this node. */
  #isSuspended = false;

  /** Use {@link SnapshotReceiver.open}. */
  constructor(parts: {
    readonly files: DurableFiles;
    readonly incoming: IncomingSnapshot;
    readonly directory: string;
    readonly handle: OpenFile;
    readonly nextOffset: number;
  }) {
    const { incoming, directory } = parts;
    this.#files = parts.files;
    this.incoming = incoming;
    this.#path = join(directory, snapshotName(incoming.meta, 'received'));
    this.#partial = join(directory, partialName(incoming));
    this.#handle = parts.handle;
    this.#nextOffset = parts.nextOffset;
  }

  /** Goes on behind the last whole chunk of what an earlier start of this node received of the same file. */
  static async open(
    files: DurableFiles,
    incoming: IncomingSnapshot,
    directory: string,
  ): Promise<SnapshotReceiver> {
    const partial = join(directory, partialName(incoming));
    const opened = async (): Promise<SnapshotReceiver> => {
      const heldBytes = await heldBytesOf(files, partial, incoming);
      const handle = await files.open(partial, heldBytes > 0 ? 'extend' : 'replace');
      try {
        await handle.truncate(heldBytes);
      } catch (error) {
        await handle.close();
        throw error;
      }
      return new SnapshotReceiver({ files, incoming, directory, handle, nextOffset: heldBytes });
    };
    return await received(partial, opened());
  }

  /** Where the next piece must begin. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  get isComplete(): boolean {
    return this.#nextOffset === this.incoming.fileBytes;
  }

  /** False once it was finished, discarded or suspended. */
  get isOpen(): boolean {
    return this.#handle !== null;
  }

  /**
   * Resolves with the next offset. What was there already is not written again: a sender may begin earlier.
   * @throws JarvisError invalid for a gap or more than was announced; StorageError snapshot_unwritable (it is discarded)
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
    await this.#aloneOrDiscard(async () => {
      await received(this.#partial, handle.write(fresh, this.#nextOffset));
      this.#nextOffset += fresh.byteLength;
    });
    return this.#nextOffset;
  }

  /**
   * Verifies all of it and gives the file its name, durably; a good one of that name stays until then.
   * @throws StorageError snapshot_corrupt, snapshot_unwritable (it is discarded); JarvisError invalid where it is
   * incomplete
   */
  async finish(): Promise<SnapshotInspection> {
    const handle = this.#openHandle();
    if (!this.isComplete)
      throw new JarvisError(
        'invalid',
        `only ${this.#nextOffset} of ${this.incoming.fileBytes} bytes were received`,
      );
    return await this.#aloneOrDiscard(async () => {
      const inspection = await received(this.#partial, verifySnapshot(this.#partial, this.#files));
      this.#check(inspection);
      await received(this.#partial, handle.sync());
      await this.#close();
      await received(this.#path, this.#files.rename(this.#partial, this.#path));
      await received(this.#path, this.#files.syncDirectory(dirname(this.#path)));
      return inspection;
    });
  }

  /** Deletes what was received. */
  async discard(): Promise<void> {
    await this.#alone(() => this.#discard());
  }

  /** Keeps what was received; a piece that is being written fails. */
  async suspend(): Promise<void> {
    this.#isSuspended = true;
    await this.#close();
  }

  #check({ header }: SnapshotInspection): void {
    const { clusterId, meta } = this.incoming;
    if (isOf(header, this.incoming)) return;
    throw damaged(
      this.#partial,
      `it is of cluster ${header.clusterId}, index ${header.meta.index} and term ${header.meta.term}; ` +
        `announced were ${clusterId}, ${meta.index} and ${meta.term}`,
    );
  }

  #openHandle(): OpenFile {
    if (this.#handle !== null) return this.#handle;
    throw new StorageError('snapshot_corrupt', this.#path, 'the reception of this snapshot has ended');
  }

  /** Half a file that cannot be written to its end only takes the room that the log needs. */
  async #aloneOrDiscard<T>(action: () => Promise<T>): Promise<T> {
    return await this.#alone(async () => {
      try {
        return await action();
      } catch (error) {
        if (!this.#isSuspended) await this.#discard();
        throw error;
      }
    });
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
    try {
      await this.#close();
    } finally {
      await this.#files.remove(this.#partial);
    }
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }
}

async function heldBytesOf(
  files: DurableFiles,
  partial: string,
  incoming: IncomingSnapshot,
): Promise<number> {
  try {
    const held = await verifiedPrefix(partial, (header) => isOf(header, incoming), files);
    return held < incoming.fileBytes ? held : 0;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}

function isOf({ clusterId, meta }: SnapshotHeader, incoming: IncomingSnapshot): boolean {
  return (
    clusterId === incoming.clusterId && meta.index === incoming.meta.index && meta.term === incoming.meta.term
  );
}

/**
 * Nothing rests on a file that is still being received: where the system refuses to write it, the file is given up, and
 * the node goes on.
 */
async function received<T>(path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    if (isStorageError(cause)) throw cause;
    throw new StorageError(
      'snapshot_unwritable',
      path,
      `a snapshot from another node cannot be written, and was given up: ${messageOf(cause)}`,
      { cause },
    );
  }
}
