/** Checks that take long let the event loop turn in between: Raft's ticks must not wait for somebody's ten thousand tasks. */
import { setImmediate as nextTurn } from 'node:timers/promises';

const TURN_MS = 8;

export class Turns {
  #startedMs = performance.now();

  /** To be called after each piece of work, small as it may be. */
  async piece(): Promise<void> {
    if (performance.now() - this.#startedMs < TURN_MS) return;
    await nextTurn();
    this.#startedMs = performance.now();
  }
}
