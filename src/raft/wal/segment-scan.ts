/** Reads one segment: its intact batches, and what the bytes behind them prove. */
import { join } from 'node:path';

import { StorageError } from '../storage-error.ts';
import {
  BATCH_ALIGNMENT,
  batchBytes,
  batchPayload,
  decodeBatchHeader,
  decodeRecords,
  type BatchHeader,
  type LogRecord,
} from './batch-format.ts';
import { endOfData } from './binary.ts';
import { readWhole, type LogFiles } from './log-files.ts';
import {
  decodeSegmentHeader,
  segmentName,
  segmentSalt,
  type LogIdentity,
  type SegmentHeader,
} from './segment-header.ts';

export interface SegmentScan {
  readonly path: string;
  readonly header: SegmentHeader;
  /** Views of the file's bytes. */
  readonly bytes: Buffer;
  readonly records: readonly LogRecord[];
  /** Checksum of the log at each position between two batches, by its offset. */
  readonly chains: ReadonlyMap<number, number>;
  /** Where the last intact batch begins (or the header), and where it ends. */
  readonly lastOffset: number;
  readonly endOffset: number;
  readonly endChain: number;
  readonly nextBatch: number;
  /** The header of a damaged batch at `endOffset`, where at least that is intact. */
  readonly damaged: BatchHeader | null;
}

/** @throws StorageError log_corrupt, log_foreign, format_unknown; what the files throw */
export function scanSegment(
  files: LogFiles,
  directory: string,
  identity: LogIdentity,
  sequence: number,
): SegmentScan {
  const path = join(directory, segmentName(sequence));
  const bytes = readWhole(files, directory, segmentName(sequence));
  const header = decodeSegmentHeader(path, bytes, identity, sequence);
  if (bytes.byteLength !== header.segmentBytes)
    throw new StorageError(
      'log_corrupt',
      path,
      `a log segment of ${bytes.byteLength} bytes was made with ${header.segmentBytes}`,
    );
  const salt = segmentSalt(identity, sequence);
  const records: LogRecord[] = [];
  const chains = new Map([[header.headerBytes, header.chain]]);
  let lastOffset = 0;
  let offset = header.headerBytes;
  let chain = header.chain;
  let nextBatch = header.nextBatch;
  let damaged: BatchHeader | null = null;
  for (;;) {
    damaged = decodeBatchHeader(bytes, offset, salt);
    if (damaged === null || damaged.number !== nextBatch || damaged.previousChain !== chain) break;
    const payload = batchPayload(bytes, offset, damaged);
    if (payload === null) break;
    if (!decodeRecords(payload, (record) => records.push(record)))
      throw new StorageError('log_corrupt', path, `an unknown record in the batch at offset ${offset}`);
    lastOffset = offset;
    offset += batchBytes(damaged.payloadBytes);
    chain = damaged.chain;
    nextBatch += 1;
    chains.set(offset, chain);
  }
  return {
    path,
    header,
    bytes,
    records,
    chains,
    lastOffset,
    endOffset: offset,
    endChain: chain,
    nextBatch,
    damaged,
  };
}

/**
 * What is behind the last intact batch of the newest segment: nothing, or a torn tail that ends before `dataEnd`.
 * Rot in the very last batch looks the same; only the watermark tells them apart. With that lost as well (a double
 * fault) an acknowledged batch is cut off.
 * @throws StorageError log_corrupt where a later batch proves that what is damaged was durable
 */
export function judgeTail(scan: SegmentScan, identity: LogIdentity): { readonly dataEnd: number } {
  const { bytes, endOffset, damaged } = scan;
  const dataEnd = endOfData(bytes, endOffset, bytes.byteLength);
  if (dataEnd === endOffset) return { dataEnd };
  const corrupt = (why: string): StorageError =>
    new StorageError('log_corrupt', scan.path, `the batch at offset ${endOffset} is damaged, and ${why}`);
  if (damaged !== null) {
    // An intact header that does not continue the log was written behind something that is gone.
    if (damaged.number !== scan.nextBatch || damaged.previousChain !== scan.endChain)
      throw corrupt(`batch ${damaged.number} stands where ${scan.nextBatch} should`);
    const end = endOffset + batchBytes(damaged.payloadBytes);
    // The segment was all zeros, so only a later batch can have written behind this one.
    if (end > bytes.byteLength || dataEnd > end) throw corrupt(`something was written behind it`);
    return { dataEnd };
  }
  const salt = segmentSalt(identity, scan.header.sequence);
  for (let offset = endOffset + BATCH_ALIGNMENT; offset < dataEnd; offset += BATCH_ALIGNMENT) {
    const later = decodeBatchHeader(bytes, offset, salt);
    if (later !== null) throw corrupt(`batch ${later.number} follows at offset ${offset}`);
  }
  return { dataEnd };
}
