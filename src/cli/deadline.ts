/** The limit of a wait (`wait --timeout`, `run --wait-timeout`), together with the user's interruption. */
import { JarvisError } from '../lib/errors.ts';

/** Longer waits than a timer can hold are no waits with a limit. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Deadline implements Disposable {
  /** Aborted when the time is up or the user interrupts. */
  readonly signal: AbortSignal;
  readonly #expiry = new AbortController();
  readonly #timer: NodeJS.Timeout | null = null;

  /** @param timeoutMs absent: no limit */
  constructor(interrupted: AbortSignal, timeoutMs: number | undefined) {
    if (timeoutMs !== undefined && timeoutMs <= MAX_TIMER_MS)
      this.#timer = setTimeout(() => this.#expiry.abort(), timeoutMs);
    this.signal = AbortSignal.any([interrupted, this.#expiry.signal]);
  }

  get expired(): boolean {
    return this.#expiry.signal.aborted;
  }

  /** @throws JarvisError timeout with `whenExpired` where the time was up before `use` came to an end */
  async guard<T>(use: (signal: AbortSignal) => Promise<T>, whenExpired: () => string): Promise<T> {
    try {
      return await use(this.signal);
    } catch (error) {
      if (!this.expired) throw error;
      throw new JarvisError('timeout', whenExpired(), { cause: error });
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
