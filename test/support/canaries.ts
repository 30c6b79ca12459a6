/** Looks for secrets in places where they must not be: files, command lines, and whatever a test has gathered. */
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import type { FoundProcess } from './processes.ts';

/** A secret, and what it is. */
export interface Canary {
  readonly what: string;
  readonly secret: string;
}

/** What is wrong, a line for each: which secret, and where. */
export class CanarySearch {
  readonly #canaries: readonly Canary[];
  readonly #found: string[] = [];

  constructor(canaries: readonly Canary[]) {
    this.#canaries = canaries;
  }

  get found(): readonly string[] {
    return this.#found;
  }

  /** As it is, and as the encodings that secrets are carried in would have it. */
  look(where: string, content: string | Buffer): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (const { what, secret } of this.#canaries) {
      const forms = [
        secret,
        Buffer.from(secret).toString('base64').replace(/=+$/, ''),
        encodeURIComponent(secret),
      ];
      if (forms.some((form) => bytes.includes(form))) this.#found.push(`${what} in ${where}`);
    }
  }

  /**
   * Nodes that run may put a file in the place of another, or remove it, meanwhile.
   * @param passesOver names of folders that are not entered, and of files that are not read
   */
  lookBelow(directory: string, passesOver: ReadonlySet<string>): number {
    let files = 0;
    for (const entry of unlessGone(() => readdirSync(directory, { withFileTypes: true })) ?? []) {
      const place = path.join(directory, entry.name);
      if (entry.isDirectory() && !passesOver.has(entry.name)) files += this.lookBelow(place, passesOver);
      if (!entry.isFile() || passesOver.has(entry.name)) continue;
      const content = unlessGone(() => readFileSync(place));
      if (content === null) continue;
      files += 1;
      this.look(place, content);
    }
    return files;
  }

  lookAtCommandLines(processes: readonly FoundProcess[]): void {
    for (const { pid } of processes) this.look(`the command line of ${pid}`, commandLineOf(pid));
  }
}

/** Empty: it has ended. */
function commandLineOf(pid: number): Buffer {
  return unlessGone(() => readFileSync(`/proc/${pid}/cmdline`)) ?? Buffer.alloc(0);
}

/** Null: what it reads is not there any more. */
function unlessGone<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

/** Files below it that others than their owner can get at: neither their own mode nor that of a folder above keeps them out. */
export function openToOthers(directory: string): readonly string[] {
  const { mode } = lstatSync(directory);
  if ((mode & 0o077) === 0) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const place = path.join(directory, entry.name);
    if (entry.isDirectory()) return openToOthers(place);
    return entry.isFile() && (lstatSync(place).mode & 0o077) !== 0 ? [place] : [];
  });
}
