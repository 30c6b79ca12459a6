/**
 * Snapshots that are half received, on disk under names of their own: who sends what is in the name, so that a receiver
 * that was restarted goes on with exactly this file or not at all. One at most is kept, and not for long.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { limits } from '../../lib/limits.ts';
import type { SnapshotMeta } from '../core/types.ts';
import type { DurableFiles } from '../durable-files.ts';
import { snapshotName } from './snapshot-format.ts';

/** What is being received: the same from the same sender may be resumed. */
export interface IncomingSnapshot {
  readonly clusterId: string;
  /** Index and term that the file must have. */
  readonly meta: Pick<SnapshotMeta, 'index' | 'term'>;
  readonly fileBytes: number;
  /** Two nodes' files of the same index differ: a file is resumed only from this very sender. */
  readonly sender: string;
}

const NAME = /^\d{16}-(\d{16})\.received\.snapshot\.\d+\.[0-9a-f]{16}\.partial$/;
const SENDER_CHARACTERS = 16;

/** Sorts by term and index, as the names of whole files do. */
export function partialName({ meta, fileBytes, sender }: IncomingSnapshot): string {
  // What a peer calls itself is no part of a path.
  const from = createHash('sha256').update(sender).digest('hex').slice(0, SENDER_CHARACTERS);
  return `${snapshotName(meta, 'received')}.${fileBytes}.${from}.partial`;
}

/** Deletes all but the named one. */
export async function removePartials(
  files: DurableFiles,
  directory: string,
  except: string | null,
): Promise<void> {
  for (const name of await partialNames(files, directory))
    if (name !== except) await files.remove(join(directory, name));
}

/** Deletes those of an index that a whole file has reached, save one that is still being received. */
export async function removeOvertaken(
  files: DurableFiles,
  directory: string,
  reachedIndex: number,
  except: string | null,
): Promise<void> {
  for (const name of await partialNames(files, directory))
    if (name !== except && indexOf(name) <= reachedIndex) await files.remove(join(directory, name));
}

/** At a start: the newest may be gone on with, unless nobody has sent anything of it for long. */
export async function keepNewestPartial(
  files: DurableFiles,
  directory: string,
  wallMs: number,
): Promise<void> {
  const [newest] = (await partialNames(files, directory)).sort().reverse();
  if (newest === undefined) return;
  const modifiedMs = await files.modifiedMs(join(directory, newest));
  const isFresh = Math.abs(wallMs - modifiedMs) <= limits.snapshotPartialKeptMs;
  await removePartials(files, directory, isFresh ? newest : null);
}

async function partialNames(files: DurableFiles, directory: string): Promise<string[]> {
  return (await files.names(directory)).filter((name) => NAME.test(name));
}

function indexOf(name: string): number {
  return Number(NAME.exec(name)?.[1]);
}
