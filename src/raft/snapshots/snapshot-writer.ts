/** Writes a snapshot file aside, makes it durable, and only then gives it its name. */
import { createHash, type Hash } from 'node:crypto';
import { dirname } from 'node:path';

import type { DurableFiles, OpenFile } from '../durable-files.ts';
import type { Row, RowStream } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { ChunkEncoder, encodeHeader, encodeTrailer, type SnapshotHeader } from './snapshot-format.ts';

/** Counts and digests rows as the state does, independent of their order: `digest` is compared with a stream's. */
export interface RowDigester {
  add(row: Row): void;
  readonly rowCount: number;
  readonly digest: string;
}

/**
 * Resolves when the file is durable under its name. Nothing of it is left where this rejects.
 * @throws StorageError snapshot_corrupt where the stream's rows are not those that it promised, storage_failed
 */
export async function writeSnapshot(
  files: DurableFiles,
  path: string,
  header: SnapshotHeader,
  stream: Pick<RowStream, 'rowCount' | 'digest' | 'rows'>,
  digester: RowDigester,
): Promise<void> {
  const aside = `${path}.tmp`;
  try {
    const file = await systemCall(aside, files.open(aside, 'replace'));
    try {
      await writeAll(new Appender(aside, file), header, stream, digester);
      await systemCall(aside, file.sync());
    } finally {
      await file.close();
    }
    await systemCall(path, files.rename(aside, path));
    await systemCall(path, files.syncDirectory(dirname(path)));
  } catch (error) {
    await files.remove(aside);
    throw error;
  }
}

/** Writes one piece behind the other, and hashes them all. */
class Appender {
  readonly path: string;
  readonly #file: OpenFile;
  readonly #sha256: Hash = createHash('sha256');
  #position = 0;

  constructor(path: string, file: OpenFile) {
    this.path = path;
    this.#file = file;
  }

  async append(bytes: Buffer | null): Promise<void> {
    if (bytes === null) return;
    this.#sha256.update(bytes);
    await systemCall(this.path, this.#file.write(bytes, this.#position));
    this.#position += bytes.byteLength;
  }

  /** Of what was appended; to be asked for once. */
  sha256(): string {
    return this.#sha256.digest('hex');
  }

  /** The last piece, which tells the hash of those before it. */
  async end(bytes: Buffer): Promise<void> {
    await systemCall(this.path, this.#file.write(bytes, this.#position));
  }
}

async function writeAll(
  target: Appender,
  header: SnapshotHeader,
  stream: Pick<RowStream, 'rowCount' | 'digest' | 'rows'>,
  digester: RowDigester,
): Promise<void> {
  const encoded = encodeHeader(header);
  const chunks = new ChunkEncoder(encoded.seed);
  await target.append(encoded.bytes);
  for await (const row of stream.rows) {
    digester.add(row);
    chunks.add(row);
    if (chunks.isFull) await target.append(chunks.take());
  }
  await target.append(chunks.take());
  const { rowCount, digest } = digester;
  // LevelDB can lose rows without a word; a snapshot without them would make the loss everybody's.
  if (rowCount !== stream.rowCount || digest !== stream.digest)
    throw new StorageError(
      'snapshot_corrupt',
      target.path,
      `the state at index ${header.meta.index} has ${stream.rowCount} rows of digest ${stream.digest}, ` +
        `and ${rowCount} of digest ${digest} were read`,
    );
  const trailer = { chunks: chunks.chunks, rowCount, digest, sha256: target.sha256() };
  await target.end(encodeTrailer(trailer, encoded.seed));
}

/** What the system refuses is a failure of the storage. */
export async function systemCall<T>(path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StorageError('storage_failed', path, `a snapshot file cannot be written: ${why}`, { cause });
  }
}
