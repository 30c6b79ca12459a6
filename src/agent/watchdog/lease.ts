/**
 * Until when attempts may run here, as the watchdog keeps it: on disk before it is confirmed, so that a watchdog that is
 * started anew enforces what was promised [RECORD]; an absolute CLOCK_BOOTTIME with the boot that it belongs to, so that
 * whoever is stopped on the way adds nothing [ABSOLUTE]. Where nothing is on record the deadline has passed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { BOOT_TIME_STEP_MS } from '../../lib/boot-time.ts';
import { isErrno } from '../../lib/errno.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { syncDirectory, writeAside } from './record-store.ts';

export interface LeaseOptions {
  /** Of the watchdog. */
  readonly directory: string;
  readonly bootId: string;
  /** CLOCK_BOOTTIME */
  readonly nowMs: () => number;
  /** What holds the lease must not run any more. Called again until there is a new one. */
  readonly onOver: () => void;
}

const PASSED = Number.NEGATIVE_INFINITY;

export class Lease {
  readonly #options: LeaseOptions;
  readonly #file: string;
  #deadlineMs: number = PASSED;
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: LeaseOptions) {
    this.#options = options;
    this.#file = join(options.directory, 'lease.json');
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

  /** Resolves once the deadline is on disk; an earlier one than there is changes nothing. */
  async extend(deadlineMs: number): Promise<void> {
    if (deadlineMs > this.#deadlineMs) {
      this.#deadlineMs = deadlineMs;
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
    await earlier.catch(() => undefined);
    const { bootId, directory } = this.#options;
    await writeAside(this.#file, JSON.stringify({ bootId, deadlineMs: this.#deadlineMs }), true);
    await syncDirectory(directory);
  }

  async #recorded(): Promise<number> {
    let text: string;
    try {
      text = await readFile(this.#file, 'utf8');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return PASSED;
      throw error;
    }
    try {
      const { bootId, deadlineMs } = JSON.parse(text) as { bootId?: unknown; deadlineMs?: unknown };
      // Another boot's clock says nothing here, and nothing of that boot runs.
      return bootId === this.#options.bootId && typeof deadlineMs === 'number' ? deadlineMs : PASSED;
    } catch {
      // Torn by a crash of the machine, so of another boot.
      return PASSED;
    }
  }

  /** Timers stand still in a suspend, and the clock does not: it is looked at now and then. */
  #watch(): void {
    clearTimeout(this.#timer);
    const leftMs = this.#leftMs;
    if (leftMs <= 0) this.#options.onOver();
    const delayMs = leftMs > 0 ? Math.min(leftMs, WATCHDOG_LIMITS.leaseLookMs) : WATCHDOG_LIMITS.leaseLookMs;
    this.#timer = setTimeout(() => this.#watch(), delayMs);
    this.#timer.unref();
  }
}
