/**
 * What is remembered of attempts on disk, by the watchdog and by the docker driver: a file per attempt, written aside and
 * renamed; the highest session seen; and tombstones, the highest assignment of tasks whose attempts were removed or
 * stopped before they came.
 */
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { AttemptKey, AttemptView } from '../drivers/driver.ts';
import { coalesce } from './coalesce.ts';
import { isErrno } from '../../lib/errno.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { attemptName, parseAttemptName } from './paths.ts';

/** Never holds the command or the environment: those may be secret, and nothing needs them again. */
interface StoredRecord {
  readonly view: AttemptView;
}

export interface StoredState<R> {
  readonly session: number;
  readonly records: readonly R[];
  /** Attempts whose file does not read: they were registered, no more is known. */
  readonly unreadable: readonly AttemptKey[];
}

export class RecordStore<R extends StoredRecord> {
  readonly #directory: string;
  readonly #parse: (value: object) => R | null;
  readonly #attempts: string;
  /** Open for as long as the store is used. */
  #attemptsHandle: FileHandle | null = null;
  /** taskId → assignment, oldest first. */
  readonly #tombstones = new Map<string, number>();
  #newTombstones: string[] = [];
  #tombstoneLines = 0;
  readonly #syncAttempts: () => Promise<void>;
  readonly #syncDirectory: () => Promise<void>;
  readonly #flushTombstones: () => Promise<void>;

  /** @param parse null where it is no record of this kind */
  constructor(directory: string, parse: (value: object) => R | null) {
    this.#directory = directory;
    this.#parse = parse;
    this.#attempts = join(directory, 'attempts');
    this.#syncAttempts = coalesce(async () => this.#attemptsHandle?.sync());
    this.#syncDirectory = coalesce(() => syncDirectory(this.#directory));
    this.#flushTombstones = coalesce(() => this.#writeTombstones());
  }

  async load(): Promise<StoredState<R>> {
    await mkdir(this.#attempts, { recursive: true, mode: 0o700 });
    this.#attemptsHandle ??= await open(this.#attempts, 'r');
    const records: R[] = [];
    const unreadable: AttemptKey[] = [];
    for (const file of await readdir(this.#attempts)) {
      const key = file.endsWith('.json') ? parseAttemptName(file.slice(0, -'.json'.length)) : null;
      if (key === null) {
        await rm(join(this.#attempts, file), { force: true });
        continue;
      }
      const record = this.#record(parseJson(await readFile(join(this.#attempts, file), 'utf8')), key);
      if (record === null) unreadable.push(key);
      else records.push(record);
    }
    await this.#loadTombstones();
    return { session: await readSession(this.#directory), records, unreadable };
  }

  #record(value: unknown, { taskId, assignment }: AttemptKey): R | null {
    const record = typeof value === 'object' && value !== null ? this.#parse(value) : null;
    return record?.view.taskId === taskId && record.view.assignment === assignment ? record : null;
  }

  /** @param options.sync false: survives the process, perhaps not the machine */
  async writeRecord(record: R, { sync }: { readonly sync: boolean }): Promise<void> {
    const path = join(this.#attempts, `${attemptName(record.view)}.json`);
    await writeAside(path, JSON.stringify(record), sync);
    if (sync) await this.#syncAttempts();
  }

  /** Its tombstone must have been written before. */
  async removeRecord(key: AttemptKey): Promise<void> {
    await rm(join(this.#attempts, `${attemptName(key)}.json`), { force: true });
  }

  async writeSession(session: number): Promise<void> {
    await writeAside(join(this.#directory, 'session.json'), JSON.stringify({ session }), true);
    await this.#syncDirectory();
  }

  /** The highest assignment of the task that was removed or stopped; -1: none that is remembered. */
  tombstoneOf(taskId: string): number {
    return this.#tombstones.get(taskId) ?? -1;
  }

  /** In force at once; on disk when it resolves. */
  async addTombstone(key: AttemptKey): Promise<void> {
    if (this.#remember(key)) this.#newTombstones.push(tombstoneLine(key));
    await this.#flushTombstones();
  }

  #remember({ taskId, assignment }: AttemptKey): boolean {
    if (this.tombstoneOf(taskId) >= assignment) return false;
    this.#tombstones.delete(taskId);
    this.#tombstones.set(taskId, assignment);
    if (this.#tombstones.size > WATCHDOG_LIMITS.maxTombstones) {
      const [oldest] = this.#tombstones.keys();
      if (oldest !== undefined) this.#tombstones.delete(oldest);
    }
    return true;
  }

  get #tombstonePath(): string {
    return join(this.#directory, 'tombstones.jsonl');
  }

  async #writeTombstones(): Promise<void> {
    const lines = this.#newTombstones;
    if (lines.length === 0) return;
    if (this.#tombstoneLines + lines.length > 2 * WATCHDOG_LIMITS.maxTombstones) {
      const all = [...this.#tombstones].map(([taskId, assignment]) => tombstoneLine({ taskId, assignment }));
      await writeAside(this.#tombstonePath, all.join(''), true);
      await this.#syncDirectory();
      this.#tombstoneLines = all.length;
    } else {
      const file = await open(this.#tombstonePath, 'a', 0o600);
      try {
        await file.appendFile(lines.join(''));
        await file.datasync();
      } finally {
        await file.close();
      }
      this.#tombstoneLines += lines.length;
    }
    // Only now: after a failure the next flush writes them again.
    this.#newTombstones.splice(0, lines.length);
  }

  async #loadTombstones(): Promise<void> {
    const text = await readIfPresent(this.#tombstonePath);
    for (const line of (text ?? '').split('\n')) {
      const value = parseJson(line);
      if (!Array.isArray(value)) continue;
      const [taskId, assignment] = value as unknown[];
      this.#tombstoneLines += 1;
      if (typeof taskId === 'string' && typeof assignment === 'number')
        this.#remember({ taskId, assignment });
    }
  }

  /** Lets go of the directory; nothing may be written any more. */
  async close(): Promise<void> {
    await this.#attemptsHandle?.close();
    this.#attemptsHandle = null;
  }
}

/** The highest session that was recorded there; 0: none. */
export async function readSession(directory: string): Promise<number> {
  const value = parseJson((await readIfPresent(join(directory, 'session.json'))) ?? '');
  const session = typeof value === 'object' && value !== null && 'session' in value ? value.session : 0;
  return typeof session === 'number' && Number.isSafeInteger(session) ? session : 0;
}

function tombstoneLine({ taskId, assignment }: AttemptKey): string {
  // The leading line feed ends a line that a crash has torn.
  return `\n${JSON.stringify([taskId, assignment])}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Torn by a crash: the caller takes it for absent.
    return null;
  }
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

export async function writeAside(path: string, text: string, sync: boolean): Promise<void> {
  const aside = `${path}.tmp`;
  const file: FileHandle = await open(aside, 'w', 0o600);
  try {
    await file.writeFile(text);
    if (sync) await file.datasync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
