/**
 * The watermark: the position in the log up to which everything is known to be durable. It is written unsynced after
 * each sync of the log, into two slots in turn, so that a torn write leaves the one before. Damage below it is
 * corruption, not a torn tail. It is a position in the files, not a Raft index, which truncation takes back.
 */
import { checksum, idBytes, readInteger, writeInteger } from './binary.ts';
import type { LogIdentity } from './segment-header.ts';

export interface LogPosition {
  readonly sequence: number;
  /** In the segment's file: the end of a batch, or of the header. */
  readonly offset: number;
  /** Checksum of the batch that ends there. */
  readonly chain: number;
}

export const WATERMARK_NAME = 'watermark';
export const WATERMARK_BYTES = 1024;
const SLOT_BYTES = 512;
const USED_BYTES = 48;
const MAGIC = 0x4d574a31;

/** One slot; `counter` grows with each write and chooses the slot. */
export function encodeWatermark(
  identity: LogIdentity,
  position: LogPosition,
  counter: number,
): { readonly bytes: Buffer; readonly offset: number } {
  const bytes = Buffer.alloc(USED_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  writeInteger(bytes, counter, 8);
  writeInteger(bytes, position.sequence, 16);
  writeInteger(bytes, position.offset, 24);
  bytes.writeUInt32LE(position.chain, 32);
  bytes.writeUInt32LE(slotChecksum(identity, bytes), 44);
  return { bytes, offset: (counter % 2) * SLOT_BYTES };
}

/** The newest intact slot of this log, or null. A lost watermark is no fault of its own. */
export function decodeWatermark(
  identity: LogIdentity,
  file: Buffer,
): { readonly position: LogPosition; readonly counter: number } | null {
  let newest: { position: LogPosition; counter: number } | null = null;
  for (const start of [0, SLOT_BYTES]) {
    const slot = file.subarray(start, start + USED_BYTES);
    if (slot.byteLength < USED_BYTES || slot.readUInt32LE(0) !== MAGIC) continue;
    if (slot.readUInt32LE(44) !== slotChecksum(identity, slot)) continue;
    const counter = readInteger(slot, 8);
    if (newest !== null && newest.counter > counter) continue;
    const position = {
      sequence: readInteger(slot, 16),
      offset: readInteger(slot, 24),
      chain: slot.readUInt32LE(32),
    };
    newest = { position, counter };
  }
  return newest;
}

function slotChecksum(identity: LogIdentity, slot: Buffer): number {
  return checksum(0, idBytes(identity.clusterId), idBytes(identity.incarnation), slot.subarray(0, 44));
}
