/**
 * One snapshot is one file:
 *
 *   header    magic (8), format (4), length (4), CRC-32 of these and the JSON (4), JSON: whose, of which index, members
 *   chunk     length (4), rows (4), CRC-32 chained to the one before (4), rows: key length, value length, key, value
 *   …
 *   trailer   JSON: counts, digest, SHA-256 of all before it; length (4), CRC-32 seeded with the header's (4), magic (8)
 *
 * Integers are little-endian. The trailer is read from the end, so that a file without one is seen to be incomplete.
 */
import { z } from 'zod';

import { invariant } from '../../lib/assert.ts';
import type { Row } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { asBuffer, checksum } from '../wal/binary.ts';

const SNAPSHOT_FORMAT = 1;
export const HEADER_PREFIX_BYTES = 20;
export const CHUNK_HEADER_BYTES = 12;
export const TRAILER_SUFFIX_BYTES = 16;
/** A chunk is closed when it holds so much; a row that is larger gets one of its own. */
const CHUNK_BYTES = 64 * 1024;
/** Longer ones are refused before memory is spent on them: far above the largest row. */
const MAX_CHUNK_BYTES = 64 * 1024 * 1024;
const MAX_JSON_BYTES = 16 * 1024 * 1024;

const HEADER_MAGIC = Buffer.from('JARVISSN');
const TRAILER_MAGIC = Buffer.from('JARVISSE');
const ROW_OVERHEAD = 8;

const raftId = z.int().positive();
const headerSchema = z.strictObject({
  clusterId: z.string(),
  epoch: z.int().nonnegative(),
  meta: z.strictObject({
    index: z.int().positive(),
    term: z.int().positive(),
    confState: z.strictObject({
      voters: z.array(raftId),
      votersOutgoing: z.array(raftId),
      learners: z.array(raftId),
      learnersNext: z.array(raftId),
      autoLeave: z.boolean(),
    }),
  }),
  peers: z.array(z.strictObject({ raftId, name: z.string(), incarnation: z.string(), address: z.string() })),
});

const trailerSchema = z.strictObject({
  chunks: z.int().nonnegative(),
  rowCount: z.int().nonnegative(),
  digest: z.string(),
  sha256: z.hex().length(64),
});

export type SnapshotHeader = Readonly<z.infer<typeof headerSchema>>;
export type SnapshotTrailer = Readonly<z.infer<typeof trailerSchema>>;

/** The header's checksum seeds those of chunks and trailer: they belong to this file and no other. */
export interface EncodedHeader {
  readonly bytes: Buffer;
  readonly seed: number;
}

export function encodeHeader(header: SnapshotHeader): EncodedHeader {
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(HEADER_PREFIX_BYTES);
  HEADER_MAGIC.copy(prefix);
  prefix.writeUInt32LE(SNAPSHOT_FORMAT, 8);
  prefix.writeUInt32LE(json.byteLength, 12);
  const seed = checksum(0, prefix.subarray(0, 16), json);
  prefix.writeUInt32LE(seed, 16);
  return { bytes: Buffer.concat([prefix, json]), seed };
}

/** Length of the JSON behind a header's prefix. @throws StorageError snapshot_corrupt, format_unknown */
export function headerJsonBytes(path: string, prefix: Buffer): number {
  if (prefix.byteLength < HEADER_PREFIX_BYTES || !prefix.subarray(0, 8).equals(HEADER_MAGIC))
    throw damaged(path, 'it does not begin as one');
  const format = prefix.readUInt32LE(8);
  if (format !== SNAPSHOT_FORMAT)
    throw new StorageError(
      'format_unknown',
      path,
      `snapshot format ${format}; this version knows ${SNAPSHOT_FORMAT}`,
    );
  const bytes = prefix.readUInt32LE(12);
  if (bytes > MAX_JSON_BYTES) throw damaged(path, 'its header has an impossible length');
  return bytes;
}

export function decodeHeader(
  path: string,
  prefix: Buffer,
  json: Buffer,
): { readonly header: SnapshotHeader; readonly seed: number } {
  const seed = prefix.readUInt32LE(16);
  if (checksum(0, prefix.subarray(0, 16), json) !== seed) throw damaged(path, 'its header is damaged');
  return { header: parse(path, headerSchema, json), seed };
}

export function encodeTrailer(trailer: SnapshotTrailer, seed: number): Buffer {
  const json = Buffer.from(JSON.stringify(trailer));
  const suffix = Buffer.alloc(TRAILER_SUFFIX_BYTES);
  suffix.writeUInt32LE(json.byteLength, 0);
  suffix.writeUInt32LE(checksum(seed, json, suffix.subarray(0, 4)), 4);
  TRAILER_MAGIC.copy(suffix, 8);
  return Buffer.concat([json, suffix]);
}

/** Length of the JSON before a trailer's suffix. @throws StorageError snapshot_corrupt */
export function trailerJsonBytes(path: string, suffix: Buffer): number {
  if (suffix.byteLength < TRAILER_SUFFIX_BYTES || !suffix.subarray(8).equals(TRAILER_MAGIC))
    throw damaged(path, 'it is incomplete');
  const bytes = suffix.readUInt32LE(0);
  if (bytes > MAX_JSON_BYTES) throw damaged(path, 'its trailer has an impossible length');
  return bytes;
}

export function decodeTrailer(path: string, json: Buffer, suffix: Buffer, seed: number): SnapshotTrailer {
  if (checksum(seed, json, suffix.subarray(0, 4)) !== suffix.readUInt32LE(4))
    throw damaged(path, 'its trailer is damaged');
  return parse(path, trailerSchema, json);
}

/** Gathers rows into chunks. */
export class ChunkEncoder {
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #rows = 0;
  #chain: number;
  #chunks = 0;

  constructor(seed: number) {
    this.#chain = seed;
  }

  get chunks(): number {
    return this.#chunks;
  }

  get isFull(): boolean {
    return this.#bytes >= CHUNK_BYTES;
  }

  add(row: Row): void {
    const key = Buffer.from(row.key);
    const lengths = Buffer.alloc(ROW_OVERHEAD);
    lengths.writeUInt32LE(key.byteLength, 0);
    lengths.writeUInt32LE(row.value.byteLength, 4);
    this.#parts.push(lengths, key, row.value);
    this.#bytes += ROW_OVERHEAD + key.byteLength + row.value.byteLength;
    this.#rows += 1;
    invariant(this.#bytes <= MAX_CHUNK_BYTES, `row ${row.key} is too large for a snapshot`);
  }

  /** The chunk of what was added, or null where nothing was. */
  take(): Buffer | null {
    if (this.#rows === 0) return null;
    const head = Buffer.alloc(CHUNK_HEADER_BYTES);
    head.writeUInt32LE(this.#bytes, 0);
    head.writeUInt32LE(this.#rows, 4);
    const chunk = Buffer.concat([head, ...this.#parts]);
    this.#chain = chunkChecksum(this.#chain, chunk.subarray(0, 8), chunk.subarray(CHUNK_HEADER_BYTES));
    chunk.writeUInt32LE(this.#chain, 8);
    [this.#parts, this.#bytes, this.#rows] = [[], 0, 0];
    this.#chunks += 1;
    return chunk;
  }
}

export function chunkPayloadBytes(path: string, head: Buffer): number {
  const bytes = head.byteLength < CHUNK_HEADER_BYTES ? Infinity : head.readUInt32LE(0);
  if (bytes > MAX_CHUNK_BYTES) throw damaged(path, 'a chunk has an impossible length');
  return bytes;
}

/** The rows of a chunk, views of `payload`, and its checksum, which seeds the next. @throws StorageError snapshot_corrupt */
export function decodeChunk(
  path: string,
  head: Buffer,
  payload: Buffer,
  chain: number,
): { readonly rows: readonly Row[]; readonly chain: number } {
  const stored = head.readUInt32LE(8);
  if (chunkChecksum(chain, head.subarray(0, 8), payload) !== stored)
    throw damaged(path, 'a chunk is damaged');
  const rows: Row[] = [];
  let offset = 0;
  while (offset + ROW_OVERHEAD <= payload.byteLength) {
    const keyStart = offset + ROW_OVERHEAD;
    const valueStart = keyStart + payload.readUInt32LE(offset);
    const end = valueStart + payload.readUInt32LE(offset + 4);
    if (end > payload.byteLength) break;
    rows.push({
      key: payload.toString('utf8', keyStart, valueStart),
      value: payload.subarray(valueStart, end),
    });
    offset = end;
  }
  if (offset !== payload.byteLength || rows.length !== head.readUInt32LE(4))
    throw damaged(path, 'a chunk holds something else than it says');
  return { rows, chain: stored };
}

export function damaged(path: string, why: string): StorageError {
  return new StorageError('snapshot_corrupt', path, `a damaged snapshot file: ${why}`);
}

function chunkChecksum(chain: number, lengths: Buffer, payload: Uint8Array): number {
  return checksum(chain, lengths, asBuffer(payload));
}

function parse<T>(path: string, schema: z.ZodType<T>, json: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(json.toString());
  } catch {
    // The checksum is whoever's who has written it: of another version, or of no good will.
    throw damaged(path, 'what should be JSON in it is none');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw damaged(path, `${parsed.error.issues[0]?.path.join('.') ?? 'something'} in it cannot be right`);
}

/** Taken here, or received from another node. */
export type SnapshotOrigin = 'taken' | 'received';

const SUFFIXES = { taken: '.snapshot', received: '.received.snapshot' } as const;
const NAME = /^\d{16}-\d{16}(?:\.received)?\.snapshot$/;

/** Sorts by term and index. */
export function snapshotName(
  meta: { readonly term: number; readonly index: number },
  origin: SnapshotOrigin,
): string {
  return `${String(meta.term).padStart(16, '0')}-${String(meta.index).padStart(16, '0')}${SUFFIXES[origin]}`;
}

/** Where a file of that name comes from; null where it is no snapshot. */
export function snapshotOrigin(name: string): SnapshotOrigin | null {
  if (!NAME.test(name)) return null;
  return name.endsWith(SUFFIXES.received) ? 'received' : 'taken';
}
