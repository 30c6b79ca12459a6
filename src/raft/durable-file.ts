/** Small files that change as a whole: after a crash there is the old content or the new, never a mixture. */
import { mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces the file; durable when it resolves. Only one caller at a time per file. */
export async function writeDurably(path: string, content: string): Promise<void> {
  const aside = `${path}.tmp`;
  const handle = await open(aside, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, path);
  await syncDirectory(dirname(path));
}

/** Makes the names in the directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates the directory and those above it where they are missing; their names are durable when it resolves. */
export async function makeDirectoryDurably(path: string): Promise<void> {
  if (await madeDirectory(path)) await syncDirectory(dirname(path));
}

/**
 * Not by mkdir's own recursion: that never ends where the parent exists and the file system still answers ENOENT, as
 * /proc does.
 */
async function madeDirectory(path: string): Promise<boolean> {
  if (await isDirectory(path)) return false;
  await makeDirectoryDurably(dirname(path));
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    // Another process made it in between.
    if (await isDirectory(path)) return false;
    throw error;
  }
  return true;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
