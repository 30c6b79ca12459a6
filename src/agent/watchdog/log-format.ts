/**
 * The format of an attempt's log: files `log.000001`, `log.000002` … of frames, both streams interleaved as they came.
 * A frame: CRC-32 of the rest (u32), kind (u8), zero (u8), wall time in ms (u48), length (u32), data; little endian.
 * Only the newest file grows; a frame that is torn or damaged ends its file.
 */
import { readdir } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

import { isErrno } from '../../lib/errno.ts';

export type LogStream = 'stdout' | 'stderr';

export type LogFrame =
  | { readonly kind: LogStream; readonly atMs: number; readonly data: Buffer }
  /** Nothing follows, ever. */
  | { readonly kind: 'end'; readonly atMs: number };

const LOG_HEADER_BYTES = 16;
/** More data than this is split over several frames. */
export const MAX_LOG_DATA_BYTES = 64 * 1024;

const KINDS = ['stdout', 'stderr', 'end'] as const;

export function encodeLogFrame(kind: LogStream | 'end', atMs: number, data: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(LOG_HEADER_BYTES + data.length);
  frame.writeUInt8(KINDS.indexOf(kind) + 1, 4);
  frame.writeUInt8(0, 5);
  frame.writeUIntLE(atMs, 6, 6);
  frame.writeUInt32LE(data.length, 12);
  data.copy(frame, LOG_HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(4)));
  return frame;
}

/** @returns `incomplete` where more bytes may make it whole, `damaged` where none can */
export function decodeLogFrame(
  bytes: Buffer,
): { readonly frame: LogFrame; readonly length: number } | 'incomplete' | 'damaged' {
  if (bytes.length < LOG_HEADER_BYTES) return 'incomplete';
  const dataLength = bytes.readUInt32LE(12);
  const kind = KINDS[bytes.readUInt8(4) - 1];
  if (kind === undefined || dataLength > MAX_LOG_DATA_BYTES) return 'damaged';
  const length = LOG_HEADER_BYTES + dataLength;
  if (bytes.length < length) return 'incomplete';
  if (crc32(bytes.subarray(4, length)) !== bytes.readUInt32LE()) return 'damaged';
  const atMs = bytes.readUIntLE(6, 6);
  const frame: LogFrame =
    kind === 'end'
      ? { kind, atMs }
      : { kind, atMs, data: Buffer.from(bytes.subarray(LOG_HEADER_BYTES, length)) };
  return { frame, length };
}

export function logFileName(sequence: number): string {
  return `log.${String(sequence).padStart(6, '0')}`;
}

export function isLogFileName(name: string): boolean {
  return /^log\.[0-9]{6,}$/.test(name);
}

/** The sequence numbers of the files there are, rising; none where the directory does not exist. */
export async function listLogFiles(directory: string): Promise<number[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  return names
    .filter(isLogFileName)
    .map((name) => Number(name.slice(4)))
    .sort((a, b) => a - b);
}
