/**
 * The file that holds the token which a leader makes where no admin has one: nobody but the daemon's user may read it. Until
 * the cluster has accepted the token it stands aside, so that what has the file's name opens something.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { parseToken, tokenText } from '../lib/token-text.ts';
import { ADMIN_TOKEN_NAME } from '../model/token.ts';
import { syncDirectory } from '../raft/durable-file.ts';
import type { AdminTokenFile } from './leader/token-keeper.ts';

export function adminTokenFile(directory: string): AdminTokenFile {
  const file = path.join(directory, ADMIN_TOKEN_NAME);
  const aside = `${file}.part`;
  return {
    path: file,
    async setAside(token) {
      // One that is left of a crash may have any mode.
      await rm(aside, { force: true });
      const handle = await open(aside, 'wx', 0o600);
      try {
        await handle.writeFile(`${tokenText(token)}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await syncDirectory(directory);
    },
    async tokenAside() {
      return parseToken((await textOf(aside)).trim());
    },
    async publish() {
      await rename(aside, file);
      await syncDirectory(directory);
    },
    async discard() {
      await rm(aside, { force: true });
      await syncDirectory(directory);
    },
  };
}

/** Empty: there is no such file. */
async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
