/**
 * Those who wait for the outcome of what they proposed. An entry's position decides: applied at its index with its
 * term, it is answered; another entry applied there, it was lost for certain and may be proposed again.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';

interface Waiter {
  readonly term: number;
  readonly resolve: (outcome: unknown) => void;
  readonly reject: (error: JarvisError) => void;
  readonly cancelTimer: () => void;
}

export class PendingProposals {
  readonly #clock: Clock;
  readonly #byIndex = new Map<number, Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#byIndex.size;
  }

  /** Waits for the entry at `index`; gives up with outcome_unknown after a bounded time. */
  add(position: { term: number; index: number }, resolve: Waiter['resolve'], reject: Waiter['reject']): void {
    const { term, index } = position;
    this.lost(index);
    const cancelTimer = this.#clock.after(limits.proposalTimeoutMs, () => {
      this.#byIndex.delete(index);
      reject(unknown(`no outcome within ${limits.proposalTimeoutMs} ms`));
    });
    this.#byIndex.set(index, { term, resolve, reject, cancelTimer });
  }

  /** The entry at `index` with that term has been applied. */
  applied(index: number, term: number, outcome: unknown): void {
    const waiter = this.#byIndex.get(index);
    if (waiter === undefined) return;
    if (waiter.term !== term) {
      this.lost(index);
      return;
    }
    this.#byIndex.delete(index);
    waiter.cancelTimer();
    waiter.resolve(outcome);
  }

  /** Another entry stands, or will stand, at `index`. */
  lost(index: number): void {
    const waiter = this.#byIndex.get(index);
    if (waiter === undefined) return;
    this.#byIndex.delete(index);
    waiter.cancelTimer();
    waiter.reject(new JarvisError('no_leader', 'the proposal was lost with its leader and did not happen'));
  }

  /** Nobody here will learn the outcomes at or below `index` any more (a snapshot replaced them, or the end). */
  forget(index: number, reason: string): void {
    for (const [at, waiter] of this.#byIndex) {
      if (at > index) continue;
      this.#byIndex.delete(at);
      waiter.cancelTimer();
      waiter.reject(unknown(reason));
    }
  }
}

function unknown(reason: string): JarvisError {
  return new JarvisError('outcome_unknown', `the outcome is unknown: ${reason}`);
}
