import { invariant } from '../lib/assert.ts';
import { limits } from '../lib/limits.ts';

/** How much the store keeps, and how much it does at once. */
export interface StoreBounds {
  /** Changed since the newest checkpoint; above it `apply` waits for one. A single entry may overshoot it. */
  readonly overlayBytes: number;
  /** A checkpoint begins when this much has changed, or as many entries were applied, or so long has passed. */
  readonly checkpointBytes: number;
  readonly checkpointEntries: number;
  readonly checkpointIntervalMs: number;
  /** Rows that are changed again soon, kept without their bytes: coded at once, so many take some ten milliseconds. */
  readonly lateRows: number;
  /** Of a checkpoint's batch, put together in one turn of the event loop. */
  readonly sliceRows: number;
  readonly sliceBytes: number;
  /** Entries whose rows are loaded together. */
  readonly chunkEntries: number;
  readonly chunkBytes: number;
  /** `apply` lets the event loop turn after so long. */
  readonly turnMs: number;
  /** Rows that one call of a list looks at; then it returns a cursor. */
  readonly listRows: number;
  readonly listItems: number;
}

export const storeBounds: StoreBounds = {
  overlayBytes: 64 * 1024 * 1024,
  checkpointBytes: 16 * 1024 * 1024,
  checkpointEntries: 10_000,
  checkpointIntervalMs: 30_000,
  lateRows: 2048,
  sliceRows: 256,
  sliceBytes: 256 * 1024,
  chunkEntries: 64,
  chunkBytes: 256 * 1024,
  turnMs: 4,
  listRows: 10_000,
  listItems: 1000,
};

invariant(
  2 * storeBounds.checkpointBytes <= storeBounds.overlayBytes,
  'while one checkpoint is written the next can gather',
);
invariant(
  storeBounds.checkpointEntries <= limits.snapshotEntries,
  'a snapshot finds a checkpoint that is not older than the last snapshot',
);
