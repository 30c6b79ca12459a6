/** Reads snapshot files and believes nothing that its checksum does not confirm. */
import { createHash } from 'node:crypto';

import { nodeFiles, type OpenFile } from '../durable-files.ts';
import type { Row } from '../ports.ts';
import {
  CHUNK_HEADER_BYTES,
  chunkPayloadBytes,
  damaged,
  decodeChunk,
  decodeHeader,
  decodeTrailer,
  HEADER_PREFIX_BYTES,
  headerJsonBytes,
  TRAILER_SUFFIX_BYTES,
  trailerJsonBytes,
  type SnapshotHeader,
  type SnapshotTrailer,
} from './snapshot-format.ts';

export interface SnapshotInspection {
  readonly header: SnapshotHeader;
  readonly trailer: SnapshotTrailer;
  readonly fileBytes: number;
}

interface Extent extends SnapshotInspection {
  readonly headerBytes: Buffer;
  readonly seed: number;
  /** Where the chunks end. */
  readonly trailerStart: number;
}

/** Header and trailer, which say that the file was written to its end; the rows are not looked at. @throws StorageError */
export async function inspectSnapshot(path: string, files = nodeFiles): Promise<SnapshotInspection> {
  await using handle = await files.open(path, 'read');
  const { header, trailer, fileBytes } = await readExtent(path, handle);
  return { header, trailer, fileBytes };
}

/** All rows in the file's order; throws at the damage, and at the end where something is missing. @throws StorageError */
export async function* readSnapshotRows(
  path: string,
  files = nodeFiles,
): AsyncGenerator<Row, void, undefined> {
  await using handle = await files.open(path, 'read');
  const extent = await readExtent(path, handle);
  const sha256 = createHash('sha256').update(extent.headerBytes);
  let chain = extent.seed;
  let offset = extent.headerBytes.byteLength;
  let rowCount = 0;
  let chunks = 0;
  while (offset < extent.trailerStart) {
    const head = await readAt(handle, offset, CHUNK_HEADER_BYTES);
    const payloadBytes = chunkPayloadBytes(path, head);
    const end = offset + CHUNK_HEADER_BYTES + payloadBytes;
    if (end > extent.trailerStart) throw damaged(path, 'a chunk is cut off');
    const payload = await readAt(handle, offset + CHUNK_HEADER_BYTES, payloadBytes);
    const chunk = decodeChunk(path, head, payload, chain);
    sha256.update(head).update(payload);
    chain = chunk.chain;
    offset = end;
    chunks += 1;
    rowCount += chunk.rows.length;
    yield* chunk.rows;
  }
  const { trailer } = extent;
  if (chunks !== trailer.chunks || rowCount !== trailer.rowCount)
    throw damaged(path, `it holds ${rowCount} rows and should hold ${trailer.rowCount}`);
  if (sha256.digest('hex') !== trailer.sha256)
    throw damaged(path, 'the checksum of the whole file is another');
}

/** Reads all of it. @throws StorageError snapshot_corrupt, format_unknown */
export async function verifySnapshot(path: string, files = nodeFiles): Promise<SnapshotInspection> {
  const inspection = await inspectSnapshot(path, files);
  for await (const row of readSnapshotRows(path, files)) {
    // Reading verifies; the rows themselves are of no interest here.
    void row;
  }
  return inspection;
}

/** The file as it is, from `fromOffset` on, in pieces of at most `pieceBytes`. */
export async function* readSnapshotBytes(
  path: string,
  fromOffset: number,
  pieceBytes: number,
  files = nodeFiles,
): AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer }, void, undefined> {
  await using handle = await files.open(path, 'read');
  const size = await handle.size();
  for (let offset = fromOffset; offset < size;) {
    const bytes = await readAt(handle, offset, Math.min(pieceBytes, size - offset));
    if (bytes.byteLength === 0) throw damaged(path, 'it became shorter while it was read');
    yield { offset, bytes };
    offset += bytes.byteLength;
  }
}

async function readExtent(path: string, handle: OpenFile): Promise<Extent> {
  const size = await handle.size();
  const prefix = await readAt(handle, 0, HEADER_PREFIX_BYTES);
  const headerEnd = HEADER_PREFIX_BYTES + headerJsonBytes(path, prefix);
  if (headerEnd + TRAILER_SUFFIX_BYTES > size) throw damaged(path, 'it is incomplete');
  const headerJson = await readAt(handle, HEADER_PREFIX_BYTES, headerEnd - HEADER_PREFIX_BYTES);
  const { header, seed } = decodeHeader(path, prefix, headerJson);
  const suffixStart = size - TRAILER_SUFFIX_BYTES;
  const suffix = await readAt(handle, suffixStart, TRAILER_SUFFIX_BYTES);
  const trailerStart = suffixStart - trailerJsonBytes(path, suffix);
  if (trailerStart < headerEnd) throw damaged(path, 'it is incomplete');
  const trailerJson = await readAt(handle, trailerStart, suffixStart - trailerStart);
  const trailer = decodeTrailer(path, trailerJson, suffix, seed);
  return {
    header,
    trailer,
    fileBytes: size,
    headerBytes: Buffer.concat([prefix, headerJson]),
    seed,
    trailerStart,
  };
}

/** Fewer bytes only at the end of the file. */
async function readAt(handle: OpenFile, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  return buffer.subarray(0, await handle.read(buffer, position));
}
