/** How often an incarnation was started, and the highest start that each peer has told: `starts.json`. */
import { join } from 'node:path';

import { z } from 'zod';

import { FORMAT, namesIn, readRecord, writeRecord } from './directory-records.ts';
import { nodeFiles } from './durable-files.ts';
import { StorageError } from './storage-error.ts';

const STARTS_NAME = 'starts.json';

const startsSchema = z.strictObject({
  format: z.literal(FORMAT),
  counter: z.int().nonnegative(),
  startId: z.string(),
  /** The highest start of each peer, by its incarnation. */
  peers: z.record(z.string(), z.strictObject({ counter: z.int().nonnegative(), startId: z.string() })),
});

export type Starts = z.infer<typeof startsSchema>;

/**
 * Counts one more, durably.
 * @param start.isMember there must have been a start before
 * @throws StorageError store_lost, format_unknown
 */
export async function countStart(
  root: string,
  start: { readonly isMember: boolean; readonly startId: string },
  files = nodeFiles,
): Promise<Starts> {
  const path = join(root, STARTS_NAME);
  const present = (await namesIn(root, files)).includes(STARTS_NAME);
  // Without it this node would count from the beginning, and its peers would take it for a copy.
  if (!present && start.isMember)
    throw new StorageError('store_lost', root, `the data directory has lost its ${STARTS_NAME}`);
  const before = present
    ? await readRecord(path, startsSchema, { files })
    : { format: FORMAT, counter: 0, peers: {} };
  const starts: Starts = {
    format: FORMAT,
    counter: before.counter + 1,
    startId: start.startId,
    peers: before.peers,
  };
  await writeStarts(root, starts, files);
  return starts;
}

/** Durable when it resolves. */
export async function writeStarts(root: string, starts: Starts, files = nodeFiles): Promise<void> {
  await writeRecord(join(root, STARTS_NAME), starts, files);
}
