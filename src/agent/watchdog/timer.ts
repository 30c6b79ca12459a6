import { WATCHDOG_LIMITS } from './limits.ts';

/** One alarm that can be brought forward; any number of milliseconds, where `setTimeout` ends at 24 days. */
export class Timer {
  #atMs = Number.POSITIVE_INFINITY;
  #handle: NodeJS.Timeout | undefined;

  /** Calls back after `delayMs`, or when it was to before, whichever is sooner. */
  startNoLater(delayMs: number, callback: () => void): void {
    const atMs = performance.now() + delayMs;
    if (atMs >= this.#atMs) return;
    this.#atMs = atMs;
    this.#arm(callback);
  }

  clear(): void {
    clearTimeout(this.#handle);
    this.#atMs = Number.POSITIVE_INFINITY;
  }

  #arm(callback: () => void): void {
    clearTimeout(this.#handle);
    const leftMs = Math.max(0, this.#atMs - performance.now());
    const isLast = leftMs <= WATCHDOG_LIMITS.maxTimerMs;
    this.#handle = setTimeout(
      isLast ? callback : () => this.#arm(callback),
      Math.min(leftMs, WATCHDOG_LIMITS.maxTimerMs),
    );
  }
}
