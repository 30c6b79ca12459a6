/**
 * Writes batches into segments, synchronously and durably. Knows nothing of threads: it runs on the writer thread in the
 * product, and inline above a simulated disk. After the first error it must not be used again.
 */
import { join } from 'node:path';

import { invariant } from '../../lib/assert.ts';
import type { HardState } from '../core/types.ts';
import type { LogBase } from '../ports.ts';
import { batchBytes, encodeBatch } from './batch-format.ts';
import type { FileHandle, LogFiles } from './log-files.ts';
import type { SegmentInfo, WriterPosition } from './recovery.ts';
import {
  EMPTY_LOG,
  encodeSegmentHeader,
  segmentHeaderBytes,
  segmentName,
  segmentSalt,
  type LogIdentity,
  type LogState,
} from './segment-header.ts';
import { encodeWatermark, WATERMARK_BYTES, WATERMARK_NAME } from './watermark.ts';

/** One append or compaction, encoded, and what it does to the state of the log. */
export interface WriteRequest {
  readonly records: Uint8Array;
  readonly hardState: HardState | null;
  readonly base: LogBase | null;
  readonly lastIndex: number;
  /** Segments wholly below `base` may go once this is durable. */
  readonly compacts: boolean;
}

export interface WriterSettings {
  readonly directory: string;
  readonly identity: LogIdentity;
  /** Size of a segment that need not be larger for a large batch. */
  readonly segmentBytes: number;
}

export interface WriterStats {
  readonly segments: number;
  /** On disk, unused room included. */
  readonly bytes: number;
}

const ZEROS = Buffer.alloc(1024 * 1024);
const SPARE_NAME = 'spare.tmp';
const NEXT_NAME = 'next.tmp';

export class SegmentWriter {
  readonly #files: LogFiles;
  readonly #settings: WriterSettings;
  #segments: SegmentInfo[];
  #state: LogState;
  #salt: number;
  #handle: FileHandle;
  #offset: number;
  #segmentBytes: number;
  readonly #watermark: FileHandle;
  #watermarkCounter: number;
  #watermarkDirty = true;
  /** A segment's file of zeros, made when there is nothing else to do, so that the next roll is quick. */
  #spare: { readonly handle: FileHandle; filled: number; synced: boolean } | null = null;
  #isReleased = false;

  /** @throws what the files throw */
  constructor(files: LogFiles, settings: WriterSettings, position: WriterPosition) {
    const current = position.segments.at(-1);
    invariant(current !== undefined, 'a log has a segment');
    const { directory } = settings;
    this.#files = files;
    this.#settings = settings;
    this.#segments = [...position.segments];
    this.#state = position.state;
    this.#salt = segmentSalt(settings.identity, current.sequence);
    this.#handle = files.open(join(directory, segmentName(current.sequence)), 'write');
    this.#offset = position.offset;
    this.#segmentBytes = current.bytes;
    this.#watermarkCounter = position.watermarkCounter;
    this.#watermark = openWatermark(files, directory);
    this.#writeWatermark();
  }

  get stats(): WriterStats {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.bytes;
    return { segments: this.#segments.length, bytes };
  }

  /** Makes all requests durable as one batch; @returns the duration of the sync in ms, null where there was none */
  write(requests: readonly WriteRequest[]): number | null {
    const payload = requests.map(({ records }) => records).filter((records) => records.byteLength > 0);
    const durationMs = payload.length === 0 ? null : this.#writeBatch(requests, payload);
    if (requests.some(({ compacts }) => compacts)) this.#removeCovered();
    return durationMs;
  }

  /** One slice of what can wait: syncs the watermark, prepares a spare segment. @returns whether more is to do */
  idle(): boolean {
    if (this.#watermarkDirty) {
      this.#files.syncData(this.#watermark);
      this.#watermarkDirty = false;
      return true;
    }
    return this.#prepareSpare();
  }

  close(): void {
    if (this.#watermarkDirty) this.#files.syncData(this.#watermark);
    this.abandon();
  }

  /**
   * Closes the files without another write, after a failure. Each once, whatever becomes of that: what a close that fails
   * was to close is closed, and its number soon somebody else's. What is acknowledged was synced before.
   */
  abandon(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    for (const handle of [this.#handle, this.#watermark, this.#spare?.handle]) {
      try {
        if (handle !== undefined) this.#files.close(handle);
      } catch {
        // Nothing is lost by it: what is acknowledged was synced, and the failure that led here is told already.
      }
    }
  }

  #writeBatch(requests: readonly WriteRequest[], payload: readonly Uint8Array[]): number {
    let payloadBytes = 0;
    for (const part of payload) payloadBytes += part.byteLength;
    if (this.#offset + batchBytes(payloadBytes) > this.#segmentBytes) this.#roll(batchBytes(payloadBytes));
    const position = { salt: this.#salt, chain: this.#state.chain, number: this.#state.nextBatch };
    const { parts, bytes, chain } = encodeBatch(payload, position);
    this.#files.write(this.#handle, parts, this.#offset);
    const startedAtMs = performance.now();
    this.#files.syncData(this.#handle);
    const durationMs = performance.now() - startedAtMs;
    this.#offset += bytes;
    this.#state = { ...afterRequests(this.#state, requests), chain, nextBatch: position.number + 1 };
    this.#writeWatermark();
    return durationMs;
  }

  #roll(neededBytes: number): void {
    const { directory, identity } = this.#settings;
    const sequence = (this.#segments.at(-1)?.sequence ?? 0) + 1;
    const minimum = segmentHeaderBytes(this.#state.base) + neededBytes;
    const { handle, name, bytes } = this.#takeSpare(minimum) ?? this.#makeFile(minimum);
    // All before is durable (each batch is synced before the next), which is what a later segment proves.
    finishSegment(this.#files, { directory, identity, name, handle, sequence, bytes, state: this.#state });
    const finished = this.#handle;
    this.#handle = handle;
    this.#files.close(finished);
    this.#salt = segmentSalt(identity, sequence);
    this.#offset = segmentHeaderBytes(this.#state.base);
    this.#segmentBytes = bytes;
    this.#segments.push({ sequence, bytes, startLastIndex: this.#state.lastIndex });
  }

  #makeFile(minimumBytes: number): { handle: FileHandle; name: string; bytes: number } {
    const bytes = Math.max(this.#settings.segmentBytes, minimumBytes);
    return { handle: createZeros(this.#files, this.#settings.directory, bytes), name: NEXT_NAME, bytes };
  }

  #takeSpare(minimumBytes: number): { handle: FileHandle; name: string; bytes: number } | null {
    const spare = this.#spare;
    const bytes = this.#settings.segmentBytes;
    if (spare === null || !spare.synced || minimumBytes > bytes) return null;
    this.#spare = null;
    return { handle: spare.handle, name: SPARE_NAME, bytes };
  }

  #prepareSpare(): boolean {
    const { directory, segmentBytes } = this.#settings;
    if (this.#spare === null) {
      if (this.#offset < this.#segmentBytes / 2) return false;
      const handle = this.#files.open(join(directory, SPARE_NAME), 'create');
      this.#spare = { handle, filled: 0, synced: false };
      return true;
    }
    const spare = this.#spare;
    if (spare.synced) return false;
    if (spare.filled < segmentBytes) {
      const slice = ZEROS.subarray(0, Math.min(ZEROS.byteLength, segmentBytes - spare.filled));
      this.#files.write(spare.handle, [slice], spare.filled);
      spare.filled += slice.byteLength;
    } else {
      this.#files.syncData(spare.handle);
      spare.synced = true;
    }
    return true;
  }

  #writeWatermark(): void {
    const sequence = this.#segments.at(-1)?.sequence ?? 0;
    const position = { sequence, offset: this.#offset, chain: this.#state.chain };
    this.#watermarkCounter += 1;
    const { bytes, offset } = encodeWatermark(this.#settings.identity, position, this.#watermarkCounter);
    this.#files.write(this.#watermark, [bytes], offset);
    this.#watermarkDirty = true;
  }

  /** Deletes the segments before the newest one that begins at or below the base: its header knows the rest. */
  #removeCovered(): void {
    const { directory } = this.#settings;
    const baseIndex = this.#state.base?.index ?? 0;
    const first = this.#segments.findLastIndex(({ startLastIndex }) => startLastIndex <= baseIndex);
    if (first <= 0) return;
    for (const { sequence } of this.#segments.slice(0, first))
      this.#files.remove(join(directory, segmentName(sequence)));
    this.#files.syncDirectory(directory);
    this.#segments = this.#segments.slice(first);
  }
}

/** Begins a new log in an empty directory; durable on return. */
export function createLog(files: LogFiles, settings: WriterSettings): WriterPosition {
  const { directory, identity, segmentBytes } = settings;
  files.makeDirectory(directory);
  for (const name of files.list(directory)) if (name.endsWith('.tmp')) files.remove(join(directory, name));
  const bytes = Math.max(segmentBytes, segmentHeaderBytes(null));
  const handle = createZeros(files, directory, bytes);
  try {
    finishSegment(files, {
      directory,
      identity,
      name: NEXT_NAME,
      handle,
      sequence: 1,
      bytes,
      state: EMPTY_LOG,
    });
  } finally {
    files.close(handle);
  }
  return {
    segments: [{ sequence: 1, bytes, startLastIndex: 0 }],
    state: EMPTY_LOG,
    offset: segmentHeaderBytes(null),
    watermarkCounter: 0,
  };
}

/** Gives a file of zeros its header, makes it durable, and only then its name. */
function finishSegment(
  files: LogFiles,
  segment: {
    readonly directory: string;
    readonly identity: LogIdentity;
    readonly name: string;
    readonly handle: FileHandle;
    readonly sequence: number;
    readonly bytes: number;
    readonly state: LogState;
  },
): void {
  const { directory, identity, name, handle, sequence, bytes, state } = segment;
  files.write(handle, [encodeSegmentHeader(identity, { ...state, sequence, segmentBytes: bytes })], 0);
  files.syncData(handle);
  files.rename(join(directory, name), join(directory, segmentName(sequence)));
  files.syncDirectory(directory);
}

function createZeros(files: LogFiles, directory: string, bytes: number): FileHandle {
  const handle = files.open(join(directory, NEXT_NAME), 'create');
  for (let offset = 0; offset < bytes; offset += ZEROS.byteLength)
    files.write(handle, [ZEROS.subarray(0, Math.min(ZEROS.byteLength, bytes - offset))], offset);
  return handle;
}

function openWatermark(files: LogFiles, directory: string): FileHandle {
  const path = join(directory, WATERMARK_NAME);
  if (files.list(directory).includes(WATERMARK_NAME)) return files.open(path, 'write');
  const handle = files.open(path, 'create');
  files.write(handle, [Buffer.alloc(WATERMARK_BYTES)], 0);
  files.syncData(handle);
  files.syncDirectory(directory);
  return handle;
}

function afterRequests(state: LogState, requests: readonly WriteRequest[]): LogState {
  let { hardState, base, lastIndex } = state;
  for (const request of requests) {
    hardState = request.hardState ?? hardState;
    base = request.base ?? base;
    lastIndex = request.lastIndex;
  }
  return { ...state, hardState, base, lastIndex };
}
