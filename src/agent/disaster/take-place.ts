/**
 * The last step of a recovery: what was there goes aside, what was made takes its place. Begun once it is gone on with after
 * a crash, by whoever starts the recovery again.
 */
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { namesIn, readRecord, writeRecord } from '../../raft/directory-records.ts';
import { makeDirectoryDurably, syncDirectory } from '../../raft/durable-file.ts';

/** In the data directory: what is being made. */
export const WORK = 'recovering';
export const IDENTITY = 'identity.json';
const READY = 'ready.json';
const REPLACED = ['log', 'snapshots', 'state', IDENTITY] as const;

const readySchema = z.strictObject({
  format: z.literal(1),
  /** The folder, in the data directory, for what was there. */
  kept: z.string(),
  clusterId: z.string(),
  epoch: z.int(),
});

export type Made = Omit<z.infer<typeof readySchema>, 'format'>;

/** From here on there is no way back: what was made is whole. */
export async function markReady(root: string, made: Made): Promise<void> {
  await writeRecord(path.join(root, WORK, READY), { format: 1, ...made });
}

/** What an earlier recovery has made and not put in its place; null where there is none. */
export async function findReady(root: string): Promise<Made | null> {
  const work = path.join(root, WORK);
  if (!(await namesIn(work)).includes(READY)) return null;
  const { kept, clusterId, epoch } = await readRecord(path.join(work, READY), readySchema);
  return { kept, clusterId, epoch };
}

/**
 * Only with the lock of the directory.
 * @param hook for tests: called after each change, and may throw
 */
export async function takePlace(
  root: string,
  { kept }: Pick<Made, 'kept'>,
  hook: (step: string) => void = () => {},
): Promise<void> {
  const work = path.join(root, WORK);
  const aside = path.join(root, kept);
  await makeDirectoryDurably(aside);
  hook('made the folder');
  for (const name of REPLACED) {
    const isMade = (await namesIn(work)).includes(name);
    const isKept = (await namesIn(aside)).includes(name);
    if (!isKept && (await namesIn(root)).includes(name)) {
      await rename(path.join(root, name), path.join(aside, name));
      hook(`${name} went aside`);
    }
    await syncDirectory(aside);
    if (isMade) {
      await rename(path.join(work, name), path.join(root, name));
      hook(`${name} took its place`);
    }
    await syncDirectory(root);
  }
  await rm(work, { recursive: true });
  hook('removed the rest');
  await syncDirectory(root);
}
