/**
 * Until when attempts may run here, as the watchdog keeps it: on disk before it is confirmed, so that a watchdog that is
 * started anew enforces what was promised [RECORD]; an absolute CLOCK_BOOTTIME with the boot that it belongs to, so that
 * whoever is stopped on the way adds nothing [ABSOLUTE]. Where nothing is on record the deadline has passed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { BOOT_TIME_STEP_MS } from '../../lib/boot-time.ts';
import type { Clock } from '../../lib/clock.ts';
import { isErrno } from '../../lib/errno.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { syncDirectory, writeAside } from './record-store.ts';

/** Where the deadline is on record. */
export interface LeaseFile {
  /** null: there is none */
  read(): Promise<string | null>;
  /** Resolves once it is durable. */
  write(text: string): Promise<void>;
}

export function leaseFile(directory: string): LeaseFile {
  const path = join(directory, 'lease.json');
  return {
    async read() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return null;
        throw error;
      }
    },
    async write(text) {
      await writeAside(path, text, true);
      await syncDirectory(directory);
    },
  };
}

/** @returns null where none of this boot is on record */
export async function recordedDeadline(
  file: Pick<LeaseFile, 'read'>,
  bootId: string,
): Promise<number | null> {
  const text = await file.read();
  if (text === null) return null;
  try {
    const recorded = JSON.parse(text) as { bootId?: unknown; deadlineMs?: unknown };
    // Another boot's clock says nothing here, and nothing of that boot runs.
    return recorded.bootId === bootId && typeof recorded.deadlineMs === 'number' ? recorded.deadlineMs : null;
  } catch {
    // Torn by a crash of the machine, so of another boot.
    return null;
  }
}

export interface LeaseOptions {
  readonly file: LeaseFile;
  readonly bootId: string;
  /** CLOCK_BOOTTIME */
  readonly nowMs: () => number;
  /** A timer that keeps nothing alive. */
  readonly after: Clock['after'];
  /** What holds the lease must not run any more. Called again until there is a new one. */
  readonly onOver: () => void;
}

const PASSED = Number.NEGATIVE_INFINITY;

export class Lease {
  readonly #options: LeaseOptions;
  #deadlineMs: number = PASSED;
  #writing: Promise<void> = Promise.resolve();
  /** The last write has failed: the deadline that is in force is not on disk. */
  #isUnwritten = false;
  #cancelTimer: () => void = () => {};

  private constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Goes on with what is on record. */
  static async open(options: LeaseOptions): Promise<Lease> {
    const lease = new Lease(options);
    lease.#deadlineMs = await lease.#recorded();
    lease.#watch();
    return lease;
  }

  /** Whether anything may begin to execute, or go on. Always asked of the clock, for timers come late. */
  get holds(): boolean {
    return this.#leftMs > 0;
  }

  /** Whether an attempt may begin to execute, now [WDLEASE]. */
  permits({ isLeased }: { readonly isLeased: boolean }): boolean {
    return !isLeased || this.holds;
  }

  /**
   * Resolves once the deadline is on disk; an earlier one than there is changes nothing. Where that failed the same one is
   * asked for again, for a node that has no confirmation sends no heartbeat, and so is granted no other.
   */
  async extend(deadlineMs: number): Promise<void> {
    if (deadlineMs > this.#deadlineMs || this.#isUnwritten) {
      this.#deadlineMs = Math.max(deadlineMs, this.#deadlineMs);
      this.#isUnwritten = false;
      this.#writing = this.#writeAfter(this.#writing);
      this.#watch();
    }
    await this.#writing;
  }

  get #leftMs(): number {
    return this.#deadlineMs - this.#options.nowMs() - BOOT_TIME_STEP_MS;
  }

  /** What is in force is never longer than what is on disk for more than the time of a write: else it kills sooner. */
  async #writeAfter(earlier: Promise<void>): Promise<void> {
    // Whoever waited for that write has heard of its failure; this one writes what is in force now.
    await earlier.catch(() => undefined);
    const { bootId, file } = this.#options;
    try {
      await file.write(JSON.stringify({ bootId, deadlineMs: this.#deadlineMs }));
    } catch (error) {
      this.#isUnwritten = true;
      throw error;
    }
  }

  async #recorded(): Promise<number> {
    const { file, bootId } = this.#options;
    return (await recordedDeadline(file, bootId)) ?? PASSED;
  }

  /** Timers stand still in a suspend, and the clock does not: it is looked at now and then. */
  #watch(): void {
    this.#cancelTimer();
    const leftMs = this.#leftMs;
    if (leftMs <= 0) this.#options.onOver();
    const delayMs = leftMs > 0 ? Math.min(leftMs, WATCHDOG_LIMITS.leaseLookMs) : WATCHDOG_LIMITS.leaseLookMs;
    this.#cancelTimer = this.#options.after(delayMs, () => this.#watch());
  }
}
