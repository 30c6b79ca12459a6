/** Small files that change as a whole: after a crash there is the old content or the new, never a mixture. */
import { dirname } from 'node:path';

import { nodeFiles, type DurableFiles } from './durable-files.ts';

/** Replaces the file; durable when it resolves. Only one caller at a time per file. */
export async function writeDurably(path: string, content: string, files = nodeFiles): Promise<void> {
  const aside = `${path}.tmp`;
  const file = await files.open(aside, 'replace');
  try {
    await file.write(Buffer.from(content), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(aside, path);
  await files.syncDirectory(dirname(path));
}

/** Makes the names in the directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await nodeFiles.syncDirectory(path);
}

/** Creates the directory and those above it where they are missing; their names are durable when it resolves. */
export async function makeDirectoryDurably(path: string, files = nodeFiles): Promise<void> {
  if (await madeDirectory(path, files)) await files.syncDirectory(dirname(path));
}

/**
 * Not by mkdir's own recursion: that never ends where the parent exists and the file system still answers ENOENT, as
 * /proc does.
 */
async function madeDirectory(path: string, files: DurableFiles): Promise<boolean> {
  if (await files.isDirectory(path)) return false;
  await makeDirectoryDurably(dirname(path), files);
  try {
    await files.makeDirectory(path);
  } catch (error) {
    // Another process made it in between.
    if (await files.isDirectory(path)) return false;
    throw error;
  }
  return true;
}
