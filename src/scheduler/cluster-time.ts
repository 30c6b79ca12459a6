/**
 * The time that a leader stamps commands with, and plans by: its wall clock's, and never before the state's own. Where
 * its clock is behind that (it was set back, or its predecessor's was ahead), time goes on from the state's at half the
 * pace until the clock has caught up: it must not stand still, for retries would with it.
 */
import type { Clock } from '../lib/clock.ts';

const PACE = 0.5;

export class ClusterTime {
  readonly #clock: Clock;
  /** How far the state's time has come, and when that was looked at (monotonic). */
  #reachedMs = 0;
  #lookedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whole milliseconds since 1970 UTC. @param stateMs the state's own time, 0 where it has none yet */
  nowMs(stateMs: number): number {
    const monotonicMs = this.#clock.monotonicMs();
    const goneMs = (monotonicMs - this.#lookedMs) * PACE;
    this.#reachedMs = Math.max(stateMs, this.#reachedMs + goneMs);
    this.#lookedMs = monotonicMs;
    return Math.max(this.#clock.wallMs(), Math.floor(this.#reachedMs));
  }
}
