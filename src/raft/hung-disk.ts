/**
 * A disk that fails says so; one that hangs does not. A leader applies only what is durable here, so where its own writes
 * hang nothing is answered, though the others could go on. It hands its leadership over, and where nobody takes it in
 * time it lays it down: then it cannot be elected either, for its own vote would have to be durable first.
 */
import type { Clock } from '../lib/clock.ts';
import { limits } from '../lib/limits.ts';

export type HungDiskAdvice = 'none' | 'handOver' | 'resign';

export class HungDiskWatch {
  readonly #clock: Clock;
  /** When the writes under way were handed out, oldest first: they are completed in that order. */
  readonly #handedOutMs: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  handedOut(): void {
    this.#handedOutMs.push(this.#clock.monotonicMs());
  }

  completed(): void {
    this.#handedOutMs.shift();
  }

  /** How long the oldest write has been under way; 0 where none is. */
  get oldestMs(): number {
    const [oldest] = this.#handedOutMs;
    return oldest === undefined ? 0 : this.#clock.monotonicMs() - oldest;
  }

  /** For a leader. */
  get advice(): HungDiskAdvice {
    if (this.oldestMs < limits.hungDiskMs) return 'none';
    return this.oldestMs < 2 * limits.hungDiskMs ? 'handOver' : 'resign';
  }
}
