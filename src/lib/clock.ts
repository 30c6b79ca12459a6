/** Time as every shell sees it; simulations and tests pass a clock of their own. */
export interface Clock {
  /** Wall time, milliseconds since 1970 UTC. May jump. */
  wallMs(): number;
  /** Milliseconds of a clock that never goes back (CLOCK_MONOTONIC). */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; the result cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
