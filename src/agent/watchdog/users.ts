/** Attempts as another user than the node's: who that is, and what of the data directory is opened to it. */
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { isErrno } from '../../lib/errno.ts';
import { messageOf } from '../../lib/errors.ts';
import { errorFilePath, resultFilePath } from './paths.ts';
import { StartFailure } from './start-failure.ts';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** null: not known. */
  readonly home: string | null;
}

/** Group and others may pass through, and see nothing. */
const PASSABLE = 0o711;
const OWNERS_ALONE = 0o700;

/**
 * @param user `name` or `uid`, either with `:group` or `:gid`
 * @returns null where that is whom this process runs as
 * @throws StartFailure where there is no such user, or this process may not become another
 */
export function identityOf(user: string): Identity | null {
  const [name = '', group] = user.split(':');
  const entry = entryOf('/etc/passwd', name, 2);
  const uid = idOf(entry?.[2] ?? name);
  if (uid === null) throw new StartFailure(`there is no user ${JSON.stringify(name)} on this node`);
  const gid = group === undefined ? idOf(entry?.[3]) : idOf(entryOf('/etc/group', group, 2)?.[2] ?? group);
  if (gid === null && group !== undefined)
    throw new StartFailure(`there is no group ${JSON.stringify(group)} on this node`);
  if (gid === null)
    throw new StartFailure(
      `this node knows no group for the user ${name}; name one, such as ${name}:${name}`,
    );
  const [ownUid, ownGid] = [process.getuid?.(), process.getgid?.()];
  if (uid === ownUid && gid === ownGid) return null;
  if (ownUid !== 0)
    throw new StartFailure(`this node does not run as root: it cannot start a process as the user ${user}`);
  return { uid, gid, home: entry?.[5] ?? null };
}

/** By name, or by the id in that field. */
function entryOf(file: string, nameOrId: string, idField: number): readonly string[] | undefined {
  const entries = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  return (
    entries.find(([name]) => name === nameOrId) ??
    entries.find((fields) => /^\d+$/.test(nameOrId) && fields[idField] === nameOrId)
  );
}

function idOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : null;
}

/**
 * Lets that user get at its own attempt's files by their paths, and at nothing else: all else of the data directory is
 * closed before the way through it is opened. What the daemon makes later is its own alone (its umask).
 * @param directory of the attempt
 * @throws StartFailure
 */
export async function openTo({ uid, gid }: Identity, directory: string): Promise<void> {
  const ofTask = dirname(directory);
  const tasks = dirname(ofTask);
  const dataDirectory = dirname(tasks);
  try {
    for (const name of await readdir(dataDirectory)) await closeToOthers(join(dataDirectory, name), tasks);
    // These it may write, but neither remove nor replace: beside them are files that the watchdog writes.
    for (const file of [errorFilePath(directory), resultFilePath(directory)]) {
      const handle = await open(file, 'wx', 0o600);
      await handle.chown(uid, gid);
      await handle.close();
    }
    const work = join(directory, 'work');
    await mkdir(work, { recursive: true, mode: OWNERS_ALONE });
    await chown(work, uid, gid);
    for (const folder of [directory, ofTask, tasks, dataDirectory]) await chmod(folder, PASSABLE);
  } catch (error) {
    throw new StartFailure(`its directory cannot be opened to its user: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function closeToOthers(path: string, except: string): Promise<void> {
  if (path === except) return;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) await chmod(path, mode & OWNERS_ALONE);
  } catch (error) {
    // Renamed or removed since it was listed.
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
