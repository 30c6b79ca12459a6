/**
 * Commands and rows to bytes and back. The bytes depend on nothing but the value: they are compared between replicas
 * (digest.ts), so nothing of msgpackr that remembers earlier values (`structures`, records) is on.
 *
 *   command   version, MessagePack
 *   row       version, MessagePack                       what is digested, and what snapshots carry
 *   stored    CRC-32 of name and content (little-endian), content        what LevelDB holds
 */
import { crc32 } from 'node:zlib';

import { Packr } from 'msgpackr';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { faultOfMessagePack } from './message-pack-check.ts';
import type { RowValue } from './replicated-core.ts';

const COMMAND_VERSION = 1;
const ROW_VERSION = 1;
const VERSION_BYTES = 1;
/** In front of every stored value. */
export const CHECKSUM_BYTES = 4;

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  encodeUndefinedAsNil: true,
  int64AsType: 'number',
});

/** @throws JarvisError invalid where it is no plain data, or nested too deeply for every replica to decode */
export function encodeCommand(command: object): Uint8Array {
  let packed: Uint8Array;
  try {
    packed = packr.pack(command);
  } catch (error) {
    throw new JarvisError('invalid', `the command cannot be encoded: ${messageOf(error)}`, { cause: error });
  }
  const fault = faultOfMessagePack(packed, 0);
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

/** The row as LevelDB will hold it, its checksum not yet filled in ({@link seal}). */
export function encodeStored(row: RowValue): Uint8Array {
  const packed: Uint8Array = packr.pack(row);
  const stored = Buffer.allocUnsafe(CHECKSUM_BYTES + VERSION_BYTES + packed.byteLength);
  stored[CHECKSUM_BYTES] = ROW_VERSION;
  stored.set(packed, CHECKSUM_BYTES + VERSION_BYTES);
  return stored;
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

/** @throws JarvisError unavailable where a later version of Jarvis wrote it, or it is no row */
export function decodeContent(content: Uint8Array): RowValue {
  if (content[0] !== ROW_VERSION) {
    throw new JarvisError(
      'unavailable',
      `row format ${content[0] ?? 'missing'} is unknown; this version reads ${ROW_VERSION}`,
    );
  }
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
