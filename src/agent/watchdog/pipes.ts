/**
 * Real pipes for the output of tasks. Node's own `stdio: 'pipe'` is a socket pair, on which a task cannot open
 * /dev/stdout or /dev/stderr (ENXIO), as many scripts do. Node has no pipe(2), so FIFOs are made by mkfifo(1), many at a
 * time, and unlinked when they are taken.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { messageOf } from '../../lib/errors.ts';
import { coalesce } from './coalesce.ts';
import type { Diagnose } from './diagnostics.ts';

export interface Pipe {
  readonly readDescriptor: number;
  /** For the child; close it here once the child has it. */
  readonly writeDescriptor: number;
}

const BATCH = 64;

export class PipePool {
  readonly #directory: string;
  readonly #diagnose: Diagnose;
  #made = 0;
  #free: string[] = [];
  #usable = true;
  readonly #refill: () => Promise<void>;

  /** Empties the directory: what a dead watchdog left there is of no use. */
  constructor(directory: string, diagnose: Diagnose) {
    this.#directory = directory;
    this.#diagnose = diagnose;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#refill = coalesce(() => this.#make());
  }

  /** @returns null where this file system or machine has no FIFOs: then a socket pair must do */
  async take(): Promise<Pipe | null> {
    while (this.#usable) {
      const path = this.#free.pop();
      if (path !== undefined) return openPipe(path);
      await this.#refill();
    }
    return null;
  }

  async #make(): Promise<void> {
    // Those who came while the last batch was made may find it sufficient.
    if (this.#free.length > 0) return;
    const names = Array.from({ length: BATCH }, (_, index) => String(this.#made + index));
    this.#made += BATCH;
    try {
      await promisify(execFile)('mkfifo', ['-m', '600', ...names], { cwd: this.#directory });
      this.#free.push(...names.map((name) => join(this.#directory, name)));
    } catch (error) {
      this.#usable = false;
      this.#diagnose('no FIFOs here, tasks cannot open /dev/stdout', { error: messageOf(error) });
    }
  }
}

function openPipe(path: string): Pipe {
  const readDescriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return { readDescriptor, writeDescriptor: openSync(path, constants.O_WRONLY) };
  } catch (error) {
    closeSync(readDescriptor);
    throw error;
  } finally {
    unlinkSync(path);
  }
}
