/**
 * The beginning of a segment: whose it is, and the state of the log at its first batch, so that every segment can be
 * read without those before it. Layout: docs of {@link encodeSegmentHeader}.
 */
import type { HardState } from '../core/types.ts';
import type { LogBase } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import { decodeLogBase, encodeLogBase } from './log-base.ts';
import { align, checksum, idBytes, readInteger, writeInteger } from './binary.ts';

/** Whose log it is. Both ids are uuids. */
export interface LogIdentity {
  readonly clusterId: string;
  readonly incarnation: string;
}

/** The log as of some position between two batches. */
export interface LogState {
  readonly hardState: HardState;
  /** What a snapshot covers: the log holds what comes behind it. */
  readonly base: LogBase | null;
  /** Index of the last entry, or that of the base. */
  readonly lastIndex: number;
  /** Checksum of the last batch: the next one is chained to it. */
  readonly chain: number;
  /** Number of the next batch; the first is 1. */
  readonly nextBatch: number;
}

export interface SegmentHeader extends LogState {
  /** Position of this segment in the log; the first is 1. */
  readonly sequence: number;
  /** Size of the whole file, header included. */
  readonly segmentBytes: number;
  /** Where the first batch begins. */
  readonly headerBytes: number;
}

export const EMPTY_LOG: LogState = {
  hardState: { term: 0, vote: 0, commit: 0 },
  base: null,
  lastIndex: 0,
  chain: 0,
  nextBatch: 1,
};

const MAGIC = Buffer.from('JARVISWL');
const FORMAT = 1;
/** A page, so that no batch shares a sector with the header. */
const HEADER_ALIGNMENT = 4096;
const FIXED_BYTES = 128;
const CHECKSUM_BYTES = 4;

export function segmentHeaderBytes(base: LogBase | null): number {
  return align(FIXED_BYTES + encodeBase(base).byteLength + CHECKSUM_BYTES, HEADER_ALIGNMENT);
}

/**
 * 0 magic (8), 8 format (4), 12 header bytes (4), 16 cluster id (16), 32 incarnation (16), 48 sequence, 56 segment
 * bytes, 64 term, 72 vote, 80 commit, 88 last index, 96 next batch, 104 chain (4), 108 length of the base (4), 128 the base as JSON,
 * zeros, and in the last 4 bytes a CRC-32 of all before. Integers are little-endian, of 8 bytes where not said.
 */
export function encodeSegmentHeader(
  identity: LogIdentity,
  header: Omit<SegmentHeader, 'headerBytes'>,
): Buffer {
  const base = encodeBase(header.base);
  const headerBytes = segmentHeaderBytes(header.base);
  const buffer = Buffer.alloc(headerBytes);
  MAGIC.copy(buffer, 0);
  buffer.writeUInt32LE(FORMAT, 8);
  buffer.writeUInt32LE(headerBytes, 12);
  idBytes(identity.clusterId).copy(buffer, 16);
  idBytes(identity.incarnation).copy(buffer, 32);
  writeInteger(buffer, header.sequence, 48);
  writeInteger(buffer, header.segmentBytes, 56);
  writeInteger(buffer, header.hardState.term, 64);
  writeInteger(buffer, header.hardState.vote, 72);
  writeInteger(buffer, header.hardState.commit, 80);
  writeInteger(buffer, header.lastIndex, 88);
  writeInteger(buffer, header.nextBatch, 96);
  buffer.writeUInt32LE(header.chain, 104);
  buffer.writeUInt32LE(base.byteLength, 108);
  base.copy(buffer, FIXED_BYTES);
  const end = headerBytes - CHECKSUM_BYTES;
  buffer.writeUInt32LE(checksum(0, buffer.subarray(0, end)), end);
  return buffer;
}

/** @throws StorageError log_corrupt, log_foreign, format_unknown */
export function decodeSegmentHeader(
  path: string,
  file: Buffer,
  identity: LogIdentity,
  sequence: number,
): SegmentHeader {
  const corrupt = (what: string): StorageError =>
    new StorageError('log_corrupt', path, `the header of a log segment ${what}`);
  if (file.byteLength < HEADER_ALIGNMENT) throw corrupt('is cut off');
  if (!file.subarray(0, 8).equals(MAGIC)) throw corrupt('does not begin as one');
  const headerBytes = file.readUInt32LE(12);
  if (headerBytes < HEADER_ALIGNMENT || headerBytes % HEADER_ALIGNMENT !== 0 || headerBytes > file.byteLength)
    throw corrupt('has an impossible length');
  const end = headerBytes - CHECKSUM_BYTES;
  if (file.readUInt32LE(end) !== checksum(0, file.subarray(0, end))) throw corrupt('is damaged');
  const format = file.readUInt32LE(8);
  if (format !== FORMAT)
    throw new StorageError(
      'format_unknown',
      path,
      `log format ${format}; this version writes and reads ${FORMAT}`,
    );
  if (!file.subarray(16, 32).equals(idBytes(identity.clusterId)))
    throw new StorageError('log_foreign', path, `a log of another cluster than ${identity.clusterId}`);
  if (!file.subarray(32, 48).equals(idBytes(identity.incarnation)))
    throw new StorageError('log_foreign', path, `a log of another incarnation than ${identity.incarnation}`);
  if (readInteger(file, 48) !== sequence) throw corrupt(`is that of segment ${readInteger(file, 48)}`);
  const baseBytes = file.readUInt32LE(108);
  const base = baseBytes === 0 ? null : decodeLogBase(file.subarray(FIXED_BYTES, FIXED_BYTES + baseBytes));
  if (baseBytes > 0 && base === null) throw corrupt('holds no snapshot where it names one');
  return {
    sequence,
    headerBytes,
    segmentBytes: readInteger(file, 56),
    hardState: { term: readInteger(file, 64), vote: readInteger(file, 72), commit: readInteger(file, 80) },
    lastIndex: readInteger(file, 88),
    nextBatch: readInteger(file, 96),
    chain: file.readUInt32LE(104),
    base,
  };
}

/** Seeds the checksum of every batch header: batches of another log or segment never validate. */
export function segmentSalt(identity: LogIdentity, sequence: number): number {
  const number = Buffer.alloc(8);
  writeInteger(number, sequence, 0);
  return checksum(0, idBytes(identity.clusterId), idBytes(identity.incarnation), number);
}

function encodeBase(base: LogBase | null): Buffer {
  return base === null ? Buffer.alloc(0) : encodeLogBase(base);
}

const NAME = /^(\d{16})\.log$/;

export function segmentName(sequence: number): string {
  return `${String(sequence).padStart(16, '0')}.log`;
}

/** The sequence number in a file's name, or null where it is no segment. */
export function segmentSequence(name: string): number | null {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
