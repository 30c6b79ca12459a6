import type { Clock } from '../clock.ts';

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** For tests: time that passes only when it is told to. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #timers: Timer[] = [];

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Runs the timers that come due, in order, with what they set off between them. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      await settle();
      let next: Timer | null = null;
      for (const timer of this.#timers) {
        if (timer.atMs <= endMs && (next === null || timer.atMs < next.atMs)) next = timer;
      }
      if (next === null) break;
      const due: Timer = next;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.callback();
    }
    this.#nowMs = endMs;
  }

  /** Time passes and nothing runs, as in a process that was stopped; timers come late. */
  freeze(durationMs: number): void {
    this.#nowMs += durationMs;
  }
}

/** Lets promises that are due run. */
async function settle(): Promise<void> {
  for (let round = 0; round < 10; round += 1) await Promise.resolve();
}
