/** The file that holds the token which a leader makes where no admin has one: nobody but the daemon's user may read it. */
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { parseToken, tokenText } from '../lib/token-text.ts';
import type { TokenParts } from '../lib/token-text.ts';
import { ADMIN_TOKEN_NAME } from '../model/token.ts';
import type { AdminTokenFile } from './leader/token-keeper.ts';

export function adminTokenFile(directory: string): AdminTokenFile {
  const file = path.join(directory, ADMIN_TOKEN_NAME);
  const part = `${file}.part`;
  return {
    path: file,
    async write(token) {
      // One that is left of a crash may have any mode.
      await rm(part, { force: true });
      const handle = await open(part, 'wx', 0o600);
      try {
        await handle.writeFile(`${tokenText(token)}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(part, file);
      await syncDirectory(directory);
    },
    async removeIf(id) {
      if ((await tokenIn(file))?.id !== id) return;
      await rm(file, { force: true });
      await syncDirectory(directory);
    },
  };
}

async function tokenIn(file: string): Promise<TokenParts | null> {
  try {
    return parseToken((await readFile(file, 'utf8')).trim());
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
