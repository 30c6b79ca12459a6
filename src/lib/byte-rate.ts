/** One bound on the bytes per second of all who share it: a bucket that fills with time and never holds more than a burst. */
import { pause } from './backoff.ts';
import type { Clock } from './clock.ts';

export class ByteRate {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  /** Negative: what has been promised to those who wait. */
  #available: number;
  #filledMs: number;

  constructor(options: { clock: Clock; bytesPerSecond: number; burstBytes: number }) {
    this.#clock = options.clock;
    this.#bytesPerMs = options.bytesPerSecond / 1000;
    this.#burstBytes = options.burstBytes;
    this.#available = options.burstBytes;
    this.#filledMs = options.clock.monotonicMs();
  }

  /** Resolves when so many bytes may go, in the order of the calls, or at once when the signal is aborted. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#available = Math.min(
      this.#burstBytes,
      this.#available + (nowMs - this.#filledMs) * this.#bytesPerMs,
    );
    this.#filledMs = nowMs;
    this.#available -= bytes;
    if (this.#available < 0) await pause(this.#clock, -this.#available / this.#bytesPerMs, signal);
  }
}
