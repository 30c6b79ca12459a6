/**
 * Commands and rows to bytes and back. The bytes depend on nothing but the value: they are compared between replicas
 * (digest.ts), so nothing of msgpackr that remembers earlier values (`structures`, records) is on.
 *
 *   command   version, MessagePack
 *   row       version, MessagePack                       what is digested, and what snapshots carry
 *   stored    CRC-32 of name and content (little-endian), content        what LevelDB holds
 *
 * The hash of a row's former bytes is taken from what its former value encodes to. So a value that came out of the
 * store must encode to the bytes that it came from, and a new format must not begin before every row is rewritten.
 */
import { crc32 } from 'node:zlib';

import { Packr } from 'msgpackr';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { hashRow, type RowHash } from './digest.ts';
import { faultOfEncoded, faultOfMessagePack, someStringOfMessagePack } from './message-pack-check.ts';
import type { RowValue } from './replicated-core.ts';

const COMMAND_VERSION = 1;
const ROW_VERSION = 1;
const VERSION_BYTES = 1;
/** In front of every stored value. */
const CHECKSUM_BYTES = 4;

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  encodeUndefinedAsNil: true,
  int64AsType: 'number',
});

/**
 * @throws JarvisError invalid where it is no plain data, nested too deeply for every replica to decode, has a key
 * `__proto__`, or a number that is none
 */
export function encodeCommand(command: object): Uint8Array {
  let packed: Buffer;
  try {
    packed = pack(command);
  } catch (error) {
    throw new JarvisError('invalid', `the command cannot be encoded: ${messageOf(error)}`, { cause: error });
  }
  const fault = faultOfEncoded(packed);
  if (fault !== null) throw new JarvisError('invalid', `the command cannot be encoded: ${fault}`);
  const bytes = new Uint8Array(VERSION_BYTES + packed.byteLength);
  bytes[0] = COMMAND_VERSION;
  bytes.set(packed, VERSION_BYTES);
  return bytes;
}

export type Decoded =
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'undecodable'; readonly reason: string };

/** Never throws for what the bytes are: what one replica cannot decode, none can. */
export function decodeCommand(bytes: Uint8Array): Decoded {
  if (bytes[0] !== COMMAND_VERSION) {
    return { type: 'undecodable', reason: `command format ${bytes[0] ?? 'missing'} is unknown` };
  }
  const reason = faultOfMessagePack(bytes, VERSION_BYTES);
  if (reason !== null) return { type: 'undecodable', reason };
  try {
    return { type: 'value', value: packr.unpack(bytes.subarray(VERSION_BYTES)) };
  } catch (error) {
    return { type: 'undecodable', reason: messageOf(error) };
  }
}

/** A row as bytes, made once for the digest and the next checkpoint. */
export interface EncodedRow {
  readonly hash: RowHash;
  /** As LevelDB will hold it, the checksum not yet filled in ({@link seal}). */
  readonly stored: Uint8Array;
}

export function encodeRow(name: string, row: RowValue): EncodedRow {
  const stored = encodeStored(row);
  return { hash: hashRow(name, contentOf(stored)), stored };
}

/** Its checksum is not yet filled in ({@link seal}). */
export function encodeStored(row: RowValue): Uint8Array {
  const packed = pack(row);
  const stored = Buffer.allocUnsafe(CHECKSUM_BYTES + VERSION_BYTES + packed.byteLength);
  stored[CHECKSUM_BYTES] = ROW_VERSION;
  stored.set(packed, CHECKSUM_BYTES + VERSION_BYTES);
  return stored;
}

function pack(value: object): Buffer {
  const packed: Buffer = packr.pack(value);
  return holdsHalfPair(packed) ? packr.pack(wellFormed(value)) : packed;
}

/**
 * Half a surrogate pair (text cut in its middle) has no UTF-8. msgpackr writes U+FFFD for it in long strings, and in
 * short ones three bytes that decode to something else: ED, then A0 or more. Times have such bytes, too, often enough
 * that where there are any it pays to look at strings only.
 */
function holdsHalfPair(packed: Buffer): boolean {
  return isHalfPairIn(packed) && someStringOfMessagePack(packed, isHalfPairIn);
}

function isHalfPairIn(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    if ((bytes[at + 1] ?? 0) >= 0xa0) return true;
  }
  return false;
}

function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key.toWellFormed(), wellFormed(inner)]),
  );
}

/** What is digested and streamed of a stored value. */
export function contentOf(stored: Uint8Array): Uint8Array {
  return stored.subarray(CHECKSUM_BYTES);
}

/** Fills in the checksum, which binds the value to its name: one that was written under another name does not pass. */
export function seal(name: string, stored: Uint8Array): void {
  const checksum = checksumOf(name, stored);
  stored[0] = checksum;
  stored[1] = checksum >>> 8;
  stored[2] = checksum >>> 16;
  stored[3] = checksum >>> 24;
}

/** A stored value of bytes that come from elsewhere, sealed. */
export function sealed(name: string, content: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafe(CHECKSUM_BYTES + content.byteLength);
  stored.set(content, CHECKSUM_BYTES);
  seal(name, stored);
  return stored;
}

export function isSealed(name: string, stored: Uint8Array): boolean {
  if (stored.byteLength < CHECKSUM_BYTES) return false;
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0] = stored;
  return (b0 | (b1 << 8) | (b2 << 16) | (b3 << 24)) >>> 0 === checksumOf(name, stored);
}

/**
 * Rows come from files and from other nodes, so the bytes are judged before anything is made of them.
 * @throws JarvisError unavailable where a later version of Jarvis wrote it, or it is no row
 */
export function decodeContent(content: Uint8Array): RowValue {
  if (content[0] !== ROW_VERSION) {
    throw new JarvisError(
      'unavailable',
      `row format ${content[0] ?? 'missing'} is unknown; this version reads ${ROW_VERSION}`,
    );
  }
  const fault = faultOfMessagePack(content, VERSION_BYTES);
  if (fault !== null) throw new JarvisError('unavailable', `a row does not decode: ${fault}`);
  let row: unknown;
  try {
    row = packr.unpack(content.subarray(VERSION_BYTES));
  } catch (error) {
    throw new JarvisError('unavailable', `a row does not decode: ${messageOf(error)}`, { cause: error });
  }
  if (typeof row !== 'object' || row === null) throw new JarvisError('unavailable', 'a row is not an object');
  return row;
}

function checksumOf(name: string, stored: Uint8Array): number {
  return crc32(contentOf(stored), crc32(name));
}
