/**
 * Reads by lease (Raft dissertation, section 6.4.1): once a majority has acknowledged a round of heartbeats, none of its
 * members votes for anybody else for an election timeout after it heard of it, so until then, counted from before the
 * round began, this leader's commit index is the newest there is, and a read needs no round of its own.
 *
 * What it assumes, and safe reads do not: that over one election timeout the monotonic clocks of two members differ in
 * rate by at most one per cent, and that a process which is stopped cannot answer. Its clock is read after the read's
 * arrival; a pause between that and the answer only makes the answer older than the read's end, never than its beginning.
 */
import type { Clock } from '../lib/clock.ts';
import { limits } from '../lib/limits.ts';

const DRIFT = 0.01;

export class ReadLease {
  readonly #clock: Clock;
  readonly #isKept: () => boolean;
  /** When rounds began, by their context; few, since each ends or its leadership does. */
  readonly #begun = new Map<string, number>();
  #untilMs = Number.NEGATIVE_INFINITY;
  /** Leadership was offered to another, whose forced election no lease stands against: none in this term any more. */
  #isForfeit = false;

  /** @param isKept whether every member keeps the promise, as far as they have said */
  constructor(clock: Clock, isKept: () => boolean) {
    this.#clock = clock;
    this.#isKept = isKept;
  }

  /** Monotonic; a follower counts in whole ticks, the first of which may be nearly over when it hears. */
  static readonly lengthMs = (limits.electionTicks - 1) * limits.tickMs * (1 - DRIFT);

  get holds(): boolean {
    return !this.#isForfeit && this.#clock.monotonicMs() < this.#untilMs && this.#isKept();
  }

  /** Before the round is sent. */
  began(context: string): void {
    this.#begun.set(context, this.#clock.monotonicMs());
  }

  confirmed(context: string): void {
    const beganMs = this.#begun.get(context);
    if (beganMs === undefined) return;
    // Those before it are confirmed with it, and older.
    for (const earlier of this.#begun.keys()) {
      this.#begun.delete(earlier);
      if (earlier === context) break;
    }
    this.#untilMs = Math.max(this.#untilMs, beganMs + ReadLease.lengthMs);
  }

  forfeit(): void {
    this.#isForfeit = true;
  }

  /** Another leadership, or none. */
  reset(): void {
    this.#begun.clear();
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#isForfeit = false;
  }
}
