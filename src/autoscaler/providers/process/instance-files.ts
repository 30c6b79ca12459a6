/**
 * What stands below `instances/`, a folder for each node that was made here:
 *
 *     <client token>/instance.json  node.json  join-token  node.log  data/ (ended/: it is being removed)
 *
 * A folder appears with its record in it and disappears with it, at once. Names that begin with a dot are on their way in or out.
 */
import { mkdir, open, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

import { isErrno } from '../../../lib/errno.ts';
import { messageOf } from '../../../lib/errors.ts';
import { isName } from '../../../lib/names.ts';
import { ProviderError } from '../provider.ts';

const FOLDER = 'instances';
const RECORD = 'instance.json';
/** What a crash has left on its way in or out is swept after so long. */
const SWEPT_AFTER_MS = 600_000;
const MOST_LOG_BYTES = 64 * 1024 * 1024;
const TAIL_BYTES = 2048;

const recordSchema = z.object({
  format: z.literal(1),
  clientToken: z.string(),
  clusterId: z.string(),
  node: z.string(),
  /** Null until it was begun; with the time at which the kernel began it, for ids are used again. */
  process: z.object({ pid: z.number().int(), startTime: z.string() }).nullable(),
  launchedAtMs: z.number().nullable(),
  /** Of gRPC and HTTP. */
  ports: z.array(z.number().int()),
  isStopping: z.boolean(),
});
export type InstanceRecord = Readonly<z.infer<typeof recordSchema>>;

export interface InstancePaths {
  readonly directory: string;
  readonly settings: string;
  readonly joinToken: string;
  readonly log: string;
  readonly data: string;
  /** Where that is once the node is over. */
  readonly ended: string;
}

export class InstanceFiles {
  readonly root: string;

  /** @param dataDirectory of the node whose machine it is; where that was made here itself, its own go beside it */
  constructor(dataDirectory: string) {
    const above = dirname(dirname(dataDirectory));
    this.root = basename(above) === FOLDER ? above : join(dataDirectory, FOLDER);
  }

  pathsOf(clientToken: string): InstancePaths {
    const directory = join(this.root, clientToken);
    return {
      directory,
      settings: join(directory, 'node.json'),
      joinToken: join(directory, 'join-token'),
      log: join(directory, 'node.log'),
      data: join(directory, 'data'),
      ended: join(directory, 'ended'),
    };
  }

  /** By client token. @throws ProviderError unavailable where one cannot be read */
  async all(): Promise<readonly InstanceRecord[]> {
    const names = (await readdir(this.root).catch(emptyIfAbsent)).filter(isName);
    const records = await Promise.all(names.map((name) => this.read(name)));
    return records.filter((record) => record !== null);
  }

  /** @returns null where there is none. @throws ProviderError unavailable where it cannot be read */
  async read(clientToken: string): Promise<InstanceRecord | null> {
    const file = join(this.root, clientToken, RECORD);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return null;
      throw new ProviderError('unavailable', `${file}: ${messageOf(error)}`, { cause: error });
    }
    try {
      return recordSchema.parse(JSON.parse(text));
    } catch (error) {
      throw new ProviderError('unavailable', `${file} is damaged: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The folder, with its record. */
  async add(record: InstanceRecord): Promise<void> {
    const coming = join(this.root, `.${record.clientToken}.new`);
    await rm(coming, { recursive: true, force: true });
    await mkdir(coming, { recursive: true, mode: 0o700 });
    await write(join(coming, RECORD), record);
    await rename(coming, this.pathsOf(record.clientToken).directory);
  }

  /** In the place of the former record. */
  async update(record: InstanceRecord): Promise<void> {
    const file = join(this.root, record.clientToken, RECORD);
    await write(`${file}.new`, record);
    await rename(`${file}.new`, file);
  }

  /** Its watchdog, where one is left, sees its directory gone, and ends all that it has begun. */
  async endData(clientToken: string): Promise<void> {
    const { data, ended } = this.pathsOf(clientToken);
    try {
      await rename(data, ended);
    } catch (error) {
      // It was never begun, or that has been done.
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }

  async remove(clientToken: string): Promise<void> {
    const going = join(this.root, `.${clientToken}.old`);
    await rm(going, { recursive: true, force: true });
    try {
      await rename(this.pathsOf(clientToken).directory, going);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
    await rm(going, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  /** Removes what an earlier start has left half made or half removed. */
  async sweep(nowMs: number): Promise<void> {
    for (const name of await readdir(this.root).catch(emptyIfAbsent)) {
      if (!name.startsWith('.')) continue;
      const directory = join(this.root, name);
      const facts = await stat(directory).catch(nullIfAbsent);
      if (facts === null || nowMs - facts.mtimeMs < SWEPT_AFTER_MS) continue;
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** What a node has said is kept within bounds: it appends to one file for as long as it lives. */
  async trimLog(clientToken: string): Promise<void> {
    const { log } = this.pathsOf(clientToken);
    const facts = await stat(log).catch(nullIfAbsent);
    if (facts !== null && facts.size > MOST_LOG_BYTES) await truncate(log);
  }

  /** The last line of its log; empty where there is none. */
  async lastWords(clientToken: string): Promise<string> {
    const log = await open(this.pathsOf(clientToken).log).catch(nullIfAbsent);
    if (log === null) return '';
    try {
      const { size } = await log.stat();
      const { buffer, bytesRead } = await log.read({
        buffer: Buffer.alloc(TAIL_BYTES),
        position: Math.max(0, size - TAIL_BYTES),
      });
      return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').at(-1) ?? '';
    } finally {
      await log.close();
    }
  }
}

async function write(file: string, record: InstanceRecord): Promise<void> {
  await writeFile(file, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true });
}

function emptyIfAbsent(error: unknown): string[] {
  return nullIfAbsent(error) ?? [];
}

function nullIfAbsent(error: unknown): null {
  if (isErrno(error, 'ENOENT')) return null;
  throw error;
}
