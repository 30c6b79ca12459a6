/** What a watchdog remembers of the control groups that it guards: a file for each, like the records of attempts. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { AttemptKey } from '../drivers/driver.ts';
import { attemptName, parseAttemptName } from './paths.ts';
import { isGroup } from './protocol.ts';
import { syncDirectory, writeAside } from './record-store.ts';

export interface GuardRecord extends AttemptKey {
  /** From the root of the hierarchies. */
  readonly cgroup: string;
  readonly isLeased: boolean;
  readonly bootId: string;
  /** The lease ran out. */
  readonly isOver: boolean;
}

export class GuardStore {
  readonly #directory: string;

  /** @param directory the watchdog's */
  constructor(directory: string) {
    this.#directory = join(directory, 'guards');
  }

  /** Those that do not read were torn by a crash of the machine, which ended what they guarded. */
  async load(): Promise<readonly GuardRecord[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const records: GuardRecord[] = [];
    for (const file of await readdir(this.#directory)) {
      const key = file.endsWith('.json') ? parseAttemptName(file.slice(0, -'.json'.length)) : null;
      const record = key === null ? null : parse(await readFile(join(this.#directory, file), 'utf8'), key);
      if (record === null) await rm(join(this.#directory, file), { force: true });
      else records.push(record);
    }
    return records;
  }

  async write(record: GuardRecord, { sync }: { readonly sync: boolean }): Promise<void> {
    await writeAside(this.#fileOf(record), JSON.stringify(record), sync);
    if (sync) await syncDirectory(this.#directory);
  }

  async remove(key: AttemptKey): Promise<void> {
    await rm(this.#fileOf(key), { force: true });
  }

  #fileOf(key: AttemptKey): string {
    return join(this.#directory, `${attemptName(key)}.json`);
  }
}

function parse(text: string, { taskId, assignment }: AttemptKey): GuardRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The caller says what that means.
    return null;
  }
  const record = value as Partial<Record<keyof GuardRecord, unknown>> | null;
  const isValid =
    typeof record === 'object' &&
    record !== null &&
    record.taskId === taskId &&
    record.assignment === assignment &&
    isGroup(record.cgroup) &&
    typeof record.isLeased === 'boolean' &&
    typeof record.bootId === 'string' &&
    typeof record.isOver === 'boolean';
  return isValid ? (record as GuardRecord) : null;
}
