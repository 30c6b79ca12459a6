/** A process of a simulated host: its timers and what comes over its sockets wait while it is stopped, and end with it. */
import type { Clock } from '../../../src/lib/clock.ts';
import type { VirtualTime } from '../virtual-time.ts';

type Action = () => void | Promise<void>;

/** What a process reads of time: a rate that is a little wrong, and an origin of its own. */
export interface LocalTime {
  readonly rate: number;
  monotonicMs(): number;
}

export class SimulatedProcess {
  readonly #time: VirtualTime;
  readonly #local: LocalTime;
  isAlive = true;
  isStopped = false;
  #stoppedUntilMs = 0;
  #backlog: Action[] = [];

  constructor(time: VirtualTime, local: LocalTime) {
    this.#time = time;
    this.#local = local;
  }

  get isRunning(): boolean {
    return this.isAlive && !this.isStopped;
  }

  /** After so many milliseconds of simulated time, or once it goes on. */
  later(delayMs: number, action: Action): () => void {
    return this.#time.after(delayMs, () => this.#run(action));
  }

  /** The time that it takes passes; resolves only where this process still runs then. */
  pass(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.later(delayMs, resolve);
    });
  }

  /** The longest of several stops counts. */
  stop(durationMs: number): void {
    this.isStopped = true;
    this.#stoppedUntilMs = Math.max(this.#stoppedUntilMs, this.#time.nowMs + durationMs);
    this.#time.after(durationMs, () => {
      if (this.#time.nowMs >= this.#stoppedUntilMs) this.resume();
    });
  }

  resume(): void {
    if (!this.isStopped) return;
    this.isStopped = false;
    for (const action of this.#backlog.splice(0)) this.later(0, action);
  }

  kill(): void {
    this.isAlive = false;
    this.#backlog = [];
  }

  clock(): Clock {
    const { rate } = this.#local;
    return {
      wallMs: () => 1_000_000 + this.#time.nowMs,
      monotonicMs: () => this.#local.monotonicMs(),
      after: (delayMs, callback) => this.later(delayMs / rate, callback),
    };
  }

  #run(action: Action): void | Promise<void> {
    if (!this.isAlive) return undefined;
    if (!this.isStopped) return action();
    this.#backlog.push(action);
    return undefined;
  }
}
