/** How late the event loop of this process is: the loop is what ticks of Raft and answers wait for. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

import type { Clock } from '../lib/clock.ts';
import type { SummaryReading } from '../metrics/registry.ts';

/** A timer of libuv's own looks so often: what it sees beyond that is lag. */
const RESOLUTION_MS = 20;
/** What is told is of the last whole while; whoever asks more often sees the same again. */
const INTERVAL_MS = 10_000;
const QUANTILES = [0.5, 0.99, 1];
const NANOSECONDS = 1e9;

export class EventLoopLag {
  readonly #clock: Clock;
  readonly #delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #latest: SummaryReading = { quantiles: new Map(), sum: 0, count: 0 };
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#delays.enable();
    this.#wait();
  }

  /** Seconds. Of the time since the start in sum and count; there are no quantiles before the first while is over. */
  get latest(): SummaryReading {
    return this.#latest;
  }

  close(): void {
    this.#cancel();
    this.#delays.disable();
  }

  #wait(): void {
    this.#cancel = this.#clock.after(INTERVAL_MS, () => {
      this.#look();
      this.#wait();
    });
  }

  #look(): void {
    const { count, mean } = this.#delays;
    if (count === 0) return;
    this.#latest = {
      quantiles: new Map(QUANTILES.map((share) => [share, lagOf(this.#delays.percentile(share * 100))])),
      sum: this.#latest.sum + count * lagOf(mean),
      count: this.#latest.count + count,
    };
    this.#delays.reset();
  }
}

/** @param delay between two looks, in nanoseconds */
function lagOf(delay: number): number {
  return Math.max(0, delay / NANOSECONDS - RESOLUTION_MS / 1000);
}
