/** What the on-disk formats share: safe integers as 64 bits, chained CRC-32, search for bytes that are not zero. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

import { invariant } from '../../lib/assert.ts';

const TWO_TO_32 = 0x1_0000_0000;

/** Writes a safe, non-negative integer as 64 bits, little-endian; returns the offset behind it. */
export function writeInteger(buffer: Buffer, value: number, offset: number): number {
  invariant(Number.isSafeInteger(value) && value >= 0, `not a storable integer: ${value}`);
  buffer.writeUInt32LE(value % TWO_TO_32, offset);
  return buffer.writeUInt32LE(Math.floor(value / TWO_TO_32), offset + 4);
}

export function readInteger(buffer: Buffer, offset: number): number {
  return buffer.readUInt32LE(offset + 4) * TWO_TO_32 + buffer.readUInt32LE(offset);
}

/** CRC-32 of all `parts` in order, continued from `seed`. */
export function checksum(seed: number, ...parts: readonly Uint8Array[]): number {
  let value = seed;
  for (const part of parts) value = crc32(part, value);
  return value;
}

/** A view of the same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** 16 bytes that stand for an id: a uuid's own, else the first of its SHA-256. */
export function idBytes(id: string): Buffer {
  const hex = id.replaceAll('-', '');
  if (/^[0-9a-fA-F]{32}$/.test(hex)) return Buffer.from(hex, 'hex');
  return createHash('sha256').update(id).digest().subarray(0, 16);
}

/** Offset behind the last byte in [from, to) that is not zero, or `from` where all are. */
export function endOfData(buffer: Buffer, from: number, to: number): number {
  let end = to;
  while (end > from && (buffer.byteOffset + end) % 8 !== 0) {
    if (buffer[end - 1] !== 0) return end;
    end -= 1;
  }
  const words = Math.floor((end - from) / 8);
  if (words > 0) {
    // Whole words at a time: a segment's unused rest is megabytes long.
    const view = new BigUint64Array(buffer.buffer, buffer.byteOffset + end - words * 8, words);
    let word = words;
    while (word > 0 && view[word - 1] === 0n) word -= 1;
    end -= (words - word) * 8;
  }
  while (end > from && buffer[end - 1] === 0) end -= 1;
  return end;
}

export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
