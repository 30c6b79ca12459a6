/**
 * Reads a log back: newest segment first, backwards until the snapshot covers the rest, then replayed forwards. Decides
 * whether damage is a torn tail, which is cut off, or corruption, after which this log must never vote again
 * (docs/storage.md, "Torn or corrupt?").
 */
import { join } from 'node:path';

import { unreachable } from '../../lib/assert.ts';
import type { Entry, HardState } from '../core/types.ts';
import type { LogBase } from '../ports.ts';
import { StorageError } from '../storage-error.ts';
import type { LogRecord } from './batch-format.ts';
import { readWhole, type LogFiles } from './log-files.ts';
import { segmentName, segmentSequence, type LogIdentity, type LogState } from './segment-header.ts';
import { judgeTail, scanSegment, type SegmentScan } from './segment-scan.ts';
import { decodeWatermark, WATERMARK_NAME } from './watermark.ts';

export interface WalRecovery {
  readonly hardState: HardState;
  /** What the log begins behind: the newest compaction or installed snapshot, or null. */
  readonly snapshot: LogBase | null;
  /** From `snapshot.index + 1` on, without a gap; their data are views of the files' bytes. */
  readonly entries: Entry[];
  /** A torn tail that was cut off; nothing in it had been acknowledged. */
  readonly repaired: null | {
    readonly reason: string;
    readonly segment: string;
    readonly offset: number;
    readonly droppedBytes: number;
  };
}

export interface SegmentInfo {
  readonly sequence: number;
  readonly bytes: number;
  /** Index of the last entry as of the segment's first batch. */
  readonly startLastIndex: number;
}

/** Where the writer goes on. */
export interface WriterPosition {
  /** By rising sequence; the last is written to. */
  readonly segments: readonly SegmentInfo[];
  readonly state: LogState;
  readonly offset: number;
  readonly watermarkCounter: number;
}

export interface RecoveredLog {
  readonly recovery: WalRecovery;
  readonly position: WriterPosition;
}

/**
 * Recovers the log in `directory` and cuts off a torn tail; null where there is none at all. On any error nothing has
 * been changed.
 * @throws StorageError log_corrupt, log_foreign, log_missing, format_unknown; what the files throw
 */
export function recoverLog(
  files: LogFiles,
  directory: string,
  identity: LogIdentity,
  options: { readonly mustReach: number },
): RecoveredLog | null {
  const names = files.list(directory);
  const sequences = names
    .map(segmentSequence)
    .filter((sequence) => sequence !== null)
    .sort((a, b) => a - b);
  const newest = sequences.at(-1);
  if (newest === undefined) {
    if (names.includes(WATERMARK_NAME))
      throw new StorageError('log_missing', directory, 'a watermark tells of a log, but no segment is left');
    return null;
  }
  const scans = scanBackwards(files, directory, identity, sequences);
  const last = scans.at(-1) as SegmentScan;
  const { dataEnd } = judgeTail(last, identity);
  const watermark = names.includes(WATERMARK_NAME)
    ? decodeWatermark(identity, readWhole(files, directory, WATERMARK_NAME))
    : null;
  if (watermark !== null) checkWatermark(directory, scans, watermark.position);
  const { state, entries } = replay(scans);
  checkExtent(directory, state, entries, options.mustReach);
  settleTail(files, directory, last, dataEnd);
  const repaired =
    dataEnd === last.endOffset
      ? null
      : {
          reason: 'a torn batch at the end, which was never acknowledged',
          segment: last.path,
          offset: last.endOffset,
          droppedBytes: dataEnd - last.endOffset,
        };
  return {
    recovery: { hardState: state.hardState, snapshot: state.base, entries, repaired },
    position: {
      segments: segmentInfos(files, directory, sequences, scans),
      state,
      offset: last.endOffset,
      watermarkCounter: watermark?.counter ?? 0,
    },
  };
}

/** The newest segments, oldest first, as far back as the snapshot does not cover what was before. */
function scanBackwards(
  files: LogFiles,
  directory: string,
  identity: LogIdentity,
  sequences: readonly number[],
): SegmentScan[] {
  let scan = scanSegment(files, directory, identity, sequences.at(-1) as number);
  const scans = [scan];
  const base = scan.records.findLast((record) => record.type === 'base')?.meta ?? scan.header.base;
  while (scan.header.lastIndex > (base?.index ?? 0)) {
    const sequence = scan.header.sequence - 1;
    if (!sequences.includes(sequence))
      throw new StorageError('log_corrupt', directory, `log segment ${segmentName(sequence)} is missing`);
    const earlier = scanSegment(files, directory, identity, sequence);
    // The later segment was begun when all of the earlier was durable: damage here is never a torn tail.
    if (earlier.endChain !== scan.header.chain || earlier.nextBatch !== scan.header.nextBatch)
      throw new StorageError(
        'log_corrupt',
        earlier.path,
        `the batch at offset ${earlier.endOffset} is damaged, and a later segment exists`,
      );
    scan = earlier;
    scans.unshift(scan);
  }
  return scans;
}

function checkWatermark(
  directory: string,
  scans: readonly SegmentScan[],
  position: { readonly sequence: number; readonly offset: number; readonly chain: number },
): void {
  const last = scans.at(-1) as SegmentScan;
  const place = `${segmentName(position.sequence)} at offset ${position.offset}`;
  if (position.sequence > last.header.sequence)
    throw new StorageError('log_corrupt', directory, `the log was durable up to ${place}, which is missing`);
  const scan = scans.find(({ header }) => header.sequence === position.sequence);
  // Older than anything that is needed: the watermark is written unsynced, and may be an old one after a power cut.
  if (scan === undefined) return;
  if (scan.chains.get(position.offset) === position.chain) return;
  const what = position.offset > scan.endOffset ? 'is damaged before that' : 'holds something else there';
  throw new StorageError('log_corrupt', scan.path, `the log was durable up to ${place}, and ${what}`);
}

/** Applies all records in order, from the state in the first header on. */
function replay(scans: readonly SegmentScan[]): { readonly state: LogState; readonly entries: Entry[] } {
  const first = scans[0] as SegmentScan;
  const last = scans.at(-1) as SegmentScan;
  const log = new ReplayedLog(first.header);
  for (const scan of scans) {
    for (const record of scan.records) {
      if (!log.apply(record))
        throw new StorageError(
          'log_corrupt',
          scan.path,
          `a ${record.type} does not follow what is before it`,
        );
    }
  }
  const { hardState, base, lastIndex } = log;
  const state = { hardState, base, lastIndex, chain: last.endChain, nextBatch: last.nextBatch };
  return { state, entries: log.entries.filter((entry) => entry.index > (base?.index ?? 0)) };
}

class ReplayedLog {
  hardState: HardState;
  base: LogBase | null;
  lastIndex: number;
  /** Contiguous, up to `lastIndex`. */
  entries: Entry[] = [];

  constructor(start: LogState) {
    this.hardState = start.hardState;
    this.base = start.base;
    this.lastIndex = start.lastIndex;
  }

  /** @returns false where the record cannot follow */
  apply(record: LogRecord): boolean {
    switch (record.type) {
      case 'hardState':
        this.hardState = record.hardState;
        return true;
      case 'truncate': {
        if (record.fromIndex > this.lastIndex) return false;
        const kept = this.entries.length - (this.lastIndex - record.fromIndex + 1);
        this.entries.length = Math.max(kept, 0);
        this.lastIndex = record.fromIndex - 1;
        return true;
      }
      case 'entry':
        if (record.entry.index !== this.lastIndex + 1) return false;
        this.entries.push(record.entry);
        this.lastIndex = record.entry.index;
        return true;
      case 'base':
        this.base = record.meta;
        if (record.dropsAll) {
          this.entries = [];
          this.lastIndex = record.meta.index;
        }
        return record.meta.index <= this.lastIndex;
      default:
        return unreachable(record);
    }
  }
}

function checkExtent(directory: string, state: LogState, entries: readonly Entry[], mustReach: number): void {
  const baseIndex = state.base?.index ?? 0;
  const corrupt = (why: string): StorageError => new StorageError('log_corrupt', directory, why);
  if (baseIndex + entries.length !== state.lastIndex)
    throw corrupt(
      `the log ends at ${state.lastIndex}, and holds ${entries.length} entries from ${baseIndex} on`,
    );
  if (state.lastIndex < mustReach)
    throw corrupt(`the log ends at index ${state.lastIndex}, the state that came from it at ${mustReach}`);
  if (state.hardState.commit > state.lastIndex)
    throw corrupt(`the log ends at index ${state.lastIndex}, and ${state.hardState.commit} was committed`);
}

/** Makes what was read durable, so that it may be relied on: it may have been written and never synced. */
function settleTail(files: LogFiles, directory: string, last: SegmentScan, dataEnd: number): void {
  const { bytes, lastOffset, endOffset } = last;
  for (const name of files.list(directory)) if (name.endsWith('.tmp')) files.remove(join(directory, name));
  const handle = files.open(last.path, 'write');
  try {
    // Written once more: after a failed sync the pages count as clean, and a sync alone would lie.
    files.write(handle, [bytes.subarray(lastOffset, endOffset)], lastOffset);
    if (dataEnd > endOffset) files.write(handle, [Buffer.alloc(dataEnd - endOffset)], endOffset);
    files.syncData(handle);
  } finally {
    files.close(handle);
  }
  files.syncDirectory(directory);
}

function segmentInfos(
  files: LogFiles,
  directory: string,
  sequences: readonly number[],
  scans: readonly SegmentScan[],
): SegmentInfo[] {
  return sequences.map((sequence) => {
    const scan = scans.find(({ header }) => header.sequence === sequence);
    if (scan !== undefined)
      return { sequence, bytes: scan.bytes.byteLength, startLastIndex: scan.header.lastIndex };
    // Wholly below the snapshot: ignored whatever it holds, and deleted with the next compaction.
    const handle = files.open(join(directory, segmentName(sequence)), 'read');
    try {
      return { sequence, bytes: files.size(handle), startLastIndex: 0 };
    } finally {
      files.close(handle);
    }
  });
}
