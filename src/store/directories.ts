/**
 * Replaces a store's directory as a whole. `state` is the store; `state.new` is being filled; `state.old` is the one
 * that was replaced. The order, and what a crash after each step leaves:
 *
 *   1. remove `state.new` and `state.old`            `state`, the old one
 *   2. fill `state.new`, close it, sync its files    `state`, the old one
 *   3. rename `state` to `state.old`, if there       `state.old` and `state.new`: both whole, the new one is taken
 *   4. rename `state.new` to `state`, sync parent    `state`, the new one
 *   5. remove `state.old`                            `state`, the new one
 *
 * So `state.new` beside `state` counts for nothing, and without `state` it counts only beside `state.old`: only then
 * was it complete. A store that was missing from the start is replaced by step 4 alone. A directory without LevelDB's
 * CURRENT is no store: whoever makes the data directory may have made an empty one again.
 */
import { existsSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { syncDirectory } from '../raft/durable-file.ts';

export interface StoreDirectories {
  readonly current: string;
  readonly fresh: string;
  readonly old: string;
}

export function storeDirectories(directory: string): StoreDirectories {
  return { current: directory, fresh: `${directory}.new`, old: `${directory}.old` };
}

/** Called between the steps of a replacement; tests end one there. */
export type StepHook = (
  step: 'cleared' | 'filled' | 'synced' | 'oldAside' | 'swapped' | 'opened',
) => void | Promise<void>;

/** Brings what a crash left behind to one of the two whole states. */
export async function settle({ current, fresh, old }: StoreDirectories): Promise<void> {
  if (!holdsStore(current) && existsSync(old)) {
    await remove(current);
    await rename(existsSync(fresh) ? fresh : old, current);
    await syncDirectory(path.dirname(current));
  }
  await remove(fresh);
  await remove(old);
}

/** LevelDB makes an empty store where this file is missing, whatever else is there. */
export function holdsStore(directory: string): boolean {
  return existsSync(path.join(directory, 'CURRENT'));
}

export async function remove(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

/** Steps 3 and 4; the store in either directory is closed. */
export async function swap({ current, fresh, old }: StoreDirectories, hook: StepHook): Promise<void> {
  await syncFiles(fresh);
  await hook('synced');
  if (existsSync(current)) await rename(current, old);
  await hook('oldAside');
  await rename(fresh, current);
  await syncDirectory(path.dirname(current));
  await hook('swapped');
}

/** LevelDB syncs what it must at each batch; the rest of its files count from here on too. */
async function syncFiles(directory: string): Promise<void> {
  for (const name of await readdir(directory)) await sync(path.join(directory, name));
  await syncDirectory(directory);
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
