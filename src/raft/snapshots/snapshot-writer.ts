/** Writes a snapshot file aside, makes it durable, and only then gives it its name. */
import { createHash, type Hash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

import { syncDirectory } from '../durable-file.ts';
import type { Row, RowStream } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { ChunkEncoder, encodeHeader, encodeTrailer, type SnapshotHeader } from './snapshot-format.ts';

/** Synced by pieces: one sync of a large file at its end could not be cut short by a stop, and would hold up the log's. */
const SYNC_BYTES = 16 * 1024 * 1024;

/** Counts and digests rows as the state does, independent of their order: `digest` is compared with a stream's. */
export interface RowDigester {
  add(row: Row): void;
  readonly rowCount: number;
  readonly digest: string;
}

/**
 * Resolves when the file is durable under its name. Nothing of it is left where this rejects, also with the reason of the
 * signal.
 * @throws StorageError snapshot_corrupt where the stream's rows are not those that it promised, storage_failed
 */
export async function writeSnapshot(
  path: string,
  header: SnapshotHeader,
  stream: Pick<RowStream, 'rowCount' | 'digest' | 'rows'>,
  digester: RowDigester,
  signal?: AbortSignal,
): Promise<void> {
  const aside = `${path}.tmp`;
  try {
    const handle = await systemCall(aside, open(aside, 'w', 0o600));
    try {
      await writeAll(aside, handle, header, stream, digester, signal);
      await systemCall(aside, handle.sync());
    } finally {
      await handle.close();
    }
    await systemCall(path, rename(aside, path));
    await systemCall(path, syncDirectory(dirname(path)));
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

async function writeAll(
  path: string,
  handle: FileHandle,
  header: SnapshotHeader,
  stream: Pick<RowStream, 'rowCount' | 'digest' | 'rows'>,
  digester: RowDigester,
  signal?: AbortSignal,
): Promise<void> {
  const encoded = encodeHeader(header);
  const chunks = new ChunkEncoder(encoded.seed);
  const sha256 = createHash('sha256');
  let unsyncedBytes = 0;
  await writeHashed(path, handle, encoded.bytes, sha256);
  for await (const row of stream.rows) {
    signal?.throwIfAborted();
    digester.add(row);
    chunks.add(row);
    if (!chunks.isFull) continue;
    const chunk = chunks.take();
    await writeHashed(path, handle, chunk, sha256);
    unsyncedBytes += chunk?.byteLength ?? 0;
    if (unsyncedBytes < SYNC_BYTES) continue;
    await systemCall(path, handle.datasync());
    unsyncedBytes = 0;
  }
  await writeHashed(path, handle, chunks.take(), sha256);
  const { rowCount, digest } = digester;
  // LevelDB can lose rows without a word; a snapshot without them would make the loss everybody's.
  if (rowCount !== stream.rowCount || digest !== stream.digest)
    throw new StorageError(
      'snapshot_corrupt',
      path,
      `the state at index ${header.meta.index} has ${stream.rowCount} rows of digest ${stream.digest}, ` +
        `and ${rowCount} of digest ${digest} were read`,
    );
  const trailer = { chunks: chunks.chunks, rowCount, digest, sha256: sha256.digest('hex') };
  await systemCall(path, handle.appendFile(encodeTrailer(trailer, encoded.seed)));
}

async function writeHashed(
  path: string,
  handle: FileHandle,
  bytes: Buffer | null,
  sha256: Hash,
): Promise<void> {
  if (bytes === null) return;
  sha256.update(bytes);
  await systemCall(path, handle.appendFile(bytes));
}

/** What the system refuses is a failure of the storage. */
async function systemCall<T>(path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StorageError('storage_failed', path, `a snapshot file cannot be written: ${why}`, { cause });
  }
}
