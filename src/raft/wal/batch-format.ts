/**
 * A batch is what one fdatasync makes durable: one frame with a checksum that chains to the batch before it. A batch
 * is written only after the one before it was synced: the mere beginning of a later batch proves that those before it
 * were durable once.
 */
import { invariant, unreachable } from '../../lib/assert.ts';
import type { Entry, EntryType, HardState } from '../core/types.ts';
import type { LogBase } from '../ports.ts';
import { decodeLogBase, encodeLogBase } from './log-base.ts';
import { align, asBuffer, checksum, readInteger, writeInteger } from './binary.ts';

export type LogRecord =
  | { readonly type: 'hardState'; readonly hardState: HardState }
  /** The entries from `fromIndex` on are void. */
  | { readonly type: 'truncate'; readonly fromIndex: number }
  | { readonly type: 'entry'; readonly entry: Entry }
  /** A snapshot covers the log up to `meta.index`; with `dropsAll` what is behind it is void too. */
  | { readonly type: 'base'; readonly meta: LogBase; readonly dropsAll: boolean };

export interface BatchHeader {
  readonly payloadBytes: number;
  readonly number: number;
  readonly previousChain: number;
  readonly chain: number;
}

/** Batches begin at multiples of this. */
export const BATCH_ALIGNMENT = 8;
const BATCH_HEADER_BYTES = 32;
const MAGIC = 0x5442524a;

const CODES = { hardState: 1, truncate: 2, entry: 3, base: 4 } as const;
const ENTRY_TYPES: readonly EntryType[] = ['normal', 'confChange'];
const ENTRY_OVERHEAD = 1 + 8 + 8 + 1 + 4;
/** Of a record, behind its code: what is there whatever it holds. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [CODES.hardState, 24],
  [CODES.truncate, 8],
  [CODES.entry, ENTRY_OVERHEAD - 1],
  [CODES.base, 5],
]);

export function batchBytes(payloadBytes: number): number {
  return align(BATCH_HEADER_BYTES + payloadBytes, BATCH_ALIGNMENT);
}

/** The parts of a frame, to be written one behind the other; the payload is not copied. */
export function encodeBatch(
  payload: readonly Uint8Array[],
  position: { readonly salt: number; readonly chain: number; readonly number: number },
): { readonly parts: readonly Uint8Array[]; readonly bytes: number; readonly chain: number } {
  let payloadBytes = 0;
  for (const part of payload) payloadBytes += part.byteLength;
  const bytes = batchBytes(payloadBytes);
  const padding = Buffer.alloc(bytes - BATCH_HEADER_BYTES - payloadBytes);
  const header = Buffer.alloc(BATCH_HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(payloadBytes, 4);
  writeInteger(header, position.number, 8);
  header.writeUInt32LE(position.chain, 16);
  const chain = checksum(position.chain, header.subarray(0, 20), ...payload, padding);
  header.writeUInt32LE(chain, 20);
  header.writeUInt32LE(checksum(position.salt, header.subarray(0, 24)), 24);
  return { parts: [header, ...payload, padding], bytes, chain };
}

/** The header of a batch at `offset`, or null where there is none that this segment's writer wrote. */
export function decodeBatchHeader(segment: Buffer, offset: number, salt: number): BatchHeader | null {
  if (offset + BATCH_HEADER_BYTES > segment.byteLength) return null;
  if (segment.readUInt32LE(offset) !== MAGIC || segment.readUInt32LE(offset + 28) !== 0) return null;
  if (segment.readUInt32LE(offset + 24) !== checksum(salt, segment.subarray(offset, offset + 24)))
    return null;
  return {
    payloadBytes: segment.readUInt32LE(offset + 4),
    number: readInteger(segment, offset + 8),
    previousChain: segment.readUInt32LE(offset + 16),
    chain: segment.readUInt32LE(offset + 20),
  };
}

/** The payload of the batch at `offset`, a view of `segment`, or null where it is damaged. */
export function batchPayload(segment: Buffer, offset: number, header: BatchHeader): Buffer | null {
  const end = offset + batchBytes(header.payloadBytes);
  if (end > segment.byteLength) return null;
  const body = segment.subarray(offset + BATCH_HEADER_BYTES, end);
  if (checksum(header.previousChain, segment.subarray(offset, offset + 20), body) !== header.chain)
    return null;
  return body.subarray(0, header.payloadBytes);
}

/** Encodes into a buffer of its own, which may be transferred to another thread. */
export function encodeRecords(records: readonly LogRecord[]): Uint8Array<ArrayBuffer> {
  const bases = records.map((record) => (record.type === 'base' ? encodeLogBase(record.meta) : null));
  let bytes = 0;
  for (const [position, record] of records.entries()) bytes += recordBytes(record, bases[position] ?? null);
  const encoded = new Uint8Array(bytes);
  const buffer = asBuffer(encoded);
  let offset = 0;
  for (const [position, record] of records.entries())
    offset = writeRecord(buffer, offset, record, bases[position] ?? null);
  invariant(offset === bytes, 'the size of a record was computed right');
  return encoded;
}

function recordBytes(record: LogRecord, base: Buffer | null): number {
  switch (record.type) {
    case 'hardState':
      return 1 + 24;
    case 'truncate':
      return 1 + 8;
    case 'entry':
      return ENTRY_OVERHEAD + record.entry.data.byteLength;
    case 'base':
      return 1 + 1 + 4 + (base?.byteLength ?? 0);
    default:
      return unreachable(record);
  }
}

function writeRecord(buffer: Buffer, start: number, record: LogRecord, base: Buffer | null): number {
  let offset = buffer.writeUInt8(CODES[record.type], start);
  switch (record.type) {
    case 'hardState':
      offset = writeInteger(buffer, record.hardState.term, offset);
      offset = writeInteger(buffer, record.hardState.vote, offset);
      return writeInteger(buffer, record.hardState.commit, offset);
    case 'truncate':
      return writeInteger(buffer, record.fromIndex, offset);
    case 'entry': {
      const { entry } = record;
      offset = writeInteger(buffer, entry.term, offset);
      offset = writeInteger(buffer, entry.index, offset);
      offset = buffer.writeUInt8(ENTRY_TYPES.indexOf(entry.type), offset);
      offset = buffer.writeUInt32LE(entry.data.byteLength, offset);
      buffer.set(entry.data, offset);
      return offset + entry.data.byteLength;
    }
    case 'base':
      invariant(base !== null, 'the base was encoded');
      offset = buffer.writeUInt8(record.dropsAll ? 1 : 0, offset);
      offset = buffer.writeUInt32LE(base.byteLength, offset);
      buffer.set(base, offset);
      return offset + base.byteLength;
    default:
      return unreachable(record);
  }
}

/**
 * Hands every record of a verified payload to `visit`; the data of entries are views of `payload`.
 * @returns false where it is not what encodeRecords writes
 */
export function decodeRecords(payload: Buffer, visit: (record: LogRecord) => void): boolean {
  let offset = 0;
  while (offset < payload.byteLength) {
    const code = payload[offset];
    const at = offset + 1;
    if (at + (FIXED_BYTES.get(code ?? 0) ?? 0) > payload.byteLength) return false;
    switch (code) {
      case CODES.hardState: {
        const [term, vote, commit] = [
          readInteger(payload, at),
          readInteger(payload, at + 8),
          readInteger(payload, at + 16),
        ];
        visit({ type: 'hardState', hardState: { term, vote, commit } });
        offset = at + 24;
        break;
      }
      case CODES.truncate:
        visit({ type: 'truncate', fromIndex: readInteger(payload, at) });
        offset = at + 8;
        break;
      case CODES.entry: {
        const type = ENTRY_TYPES[payload.readUInt8(at + 16)];
        if (type === undefined) return false;
        const dataStart = offset + ENTRY_OVERHEAD;
        offset = dataStart + payload.readUInt32LE(at + 17);
        if (offset > payload.byteLength) return false;
        const data = payload.subarray(dataStart, offset);
        visit({
          type: 'entry',
          entry: { term: readInteger(payload, at), index: readInteger(payload, at + 8), type, data },
        });
        break;
      }
      case CODES.base: {
        offset = at + 5 + payload.readUInt32LE(at + 1);
        const meta = offset > payload.byteLength ? null : decodeLogBase(payload.subarray(at + 5, offset));
        if (meta === null) return false;
        visit({ type: 'base', meta, dropsAll: payload[at] === 1 });
        break;
      }
      default:
        return false;
    }
  }
  return offset === payload.byteLength;
}
