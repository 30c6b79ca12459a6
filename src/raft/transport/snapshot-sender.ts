/** Sends one snapshot file to a follower: from where the follower wants it, never more than a window ahead of it. */
import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';

import type { Hello, RaftClient, SnapshotChunk, SnapshotProgress } from '../../generated/raft.ts';
import type { ByteRate } from '../../lib/byte-rate.ts';
import { JarvisError, messageOf } from '../../lib/errors.ts';
import { isErrno } from '../../lib/errno.ts';
import { limits } from '../../lib/limits.ts';
import type { Message } from '../core/types.ts';
import { StorageError } from '../storage-error.ts';
import { messageToWire } from './wire.ts';

type SnapshotStream = ClientDuplexStream<SnapshotChunk, SnapshotProgress>;

/** What the receiver has said so far; whoever waits is woken at each word, at the end, and after a stall. */
class ReceiverProgress {
  #nextOffset: number | null = null;
  #installed = false;
  #failure: Error | null = null;
  #wake: () => void = () => {};

  constructor(stream: SnapshotStream) {
    stream.on('data', (progress: SnapshotProgress) => {
      // The last word names no offset, and may come before the ones ahead of it were looked at.
      if (progress.installed) this.#installed = true;
      else this.#nextOffset = progress.next_offset;
      this.#wake();
    });
    const fail = (error: Error): void => {
      this.#failure ??= error;
      this.#wake();
    };
    stream.on('error', fail);
    stream.on('end', () => fail(new JarvisError('unavailable', 'the receiver ended the snapshot stream')));
  }

  /** Resolves with the receiver's offset once `enough` holds. @throws when the stream fails or nothing moves */
  async until(enough: (nextOffset: number, installed: boolean) => boolean): Promise<number> {
    for (;;) {
      if (this.#nextOffset !== null && enough(this.#nextOffset, this.#installed)) return this.#nextOffset;
      if (this.#failure !== null) throw this.#failure;
      await this.#nextWord();
    }
  }

  async #nextWord(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new JarvisError('timeout', `no snapshot progress for ${limits.snapshotStallMs} ms`)),
      limits.snapshotStallMs,
    );
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wake = () => {};
    }
  }
}

/** Resolves once the receiver has verified and taken over the file. @throws JarvisError, or the stream's error */
export async function sendSnapshotFile(options: {
  client: RaftClient;
  hello: Hello;
  message: Message;
  file: string;
  signal: AbortSignal;
  /** Shared by all transfers of this node. */
  rate: ByteRate;
  /** Told what the receiver has taken, of how much, whenever it says so. */
  onProgress: (takenBytes: number, totalBytes: number) => void;
}): Promise<void> {
  const { client, hello, message, file, signal, rate, onProgress } = options;
  await using handle = await open(file, 'r');
  const { size } = await handle.stat();
  signal.throwIfAborted();
  const stream = client.installSnapshot();
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const progress = new ReceiverProgress(stream);
    const header = {
      hello,
      file_name: path.basename(file),
      file_bytes: size,
      message: messageToWire(message),
    };
    stream.write({ header, offset: 0, data: Buffer.alloc(0) });
    let offset = await progress.until(() => true);
    onProgress(offset, size);
    while (offset < size) {
      const length = Math.min(limits.snapshotChunkBytes, size - offset);
      await rate.take(length, signal);
      signal.throwIfAborted();
      const { buffer, bytesRead } = await readPiece(file, handle, offset, length);
      if (bytesRead === 0) throw new JarvisError('internal', `${file} ended at ${offset} of ${size} bytes`);
      stream.write({ header: undefined, offset, data: buffer.subarray(0, bytesRead) });
      offset += bytesRead;
      const sent = offset;
      onProgress(await progress.until((next) => sent - next < limits.snapshotWindowBytes), size);
    }
    await progress.until((_next, installed) => installed);
    stream.end();
  } catch (error) {
    // It may have been damaged on its way as well: whoever asked looks.
    if ((error as Partial<ServiceError>).code !== status.DATA_LOSS) throw error;
    throw new StorageError('snapshot_corrupt', file, `the receiver found it damaged: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

async function readPiece(
  file: string,
  handle: FileHandle,
  offset: number,
  length: number,
): Promise<{ buffer: Buffer; bytesRead: number }> {
  try {
    return await handle.read(Buffer.allocUnsafe(length), 0, length, offset);
  } catch (cause) {
    if (!isErrno(cause, 'EIO')) throw cause;
    throw new StorageError('snapshot_corrupt', file, 'the disk does not give it back', { cause });
  }
}
