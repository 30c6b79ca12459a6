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
  /**
   * Usually one per index. Two where this node lost the leadership, its log was cut, and it leads again: which of the
   * entries is committed there only the log's next reader knows, since another member may still hold the older one.
   */
  readonly #byIndex = new Map<number, Waiter[]>();
  #size = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#size;
  }

  /** Waits for the entry at `index`; gives up with outcome_unknown after a bounded time. */
  add(position: { term: number; index: number }, resolve: Waiter['resolve'], reject: Waiter['reject']): void {
    const { term, index } = position;
    const cancelTimer = this.#clock.after(limits.proposalTimeoutMs, () => {
      this.#remove(index, waiter);
      reject(unknown(`no outcome within ${limits.proposalTimeoutMs} ms`));
    });
    const waiter: Waiter = { term, resolve, reject, cancelTimer };
    this.#byIndex.set(index, [...(this.#byIndex.get(index) ?? []), waiter]);
    this.#size += 1;
  }

  /** The entry at `index` with that term has been applied: whoever proposed another one there has lost it for ever. */
  applied(index: number, term: number, outcome: unknown): void {
    for (const waiter of this.#take(index)) {
      if (waiter.term === term) waiter.resolve(outcome);
      else
        waiter.reject(
          new JarvisError('no_leader', 'the proposal was lost with its leader and did not happen'),
        );
    }
  }

  /** Nobody here will learn the outcomes at or below `index` any more (a snapshot replaced them, or the end). */
  forget(index: number, reason: string): void {
    for (const at of this.#byIndex.keys()) {
      if (at > index) continue;
      for (const { reject } of this.#take(at)) reject(unknown(reason));
    }
  }

  #take(index: number): readonly Waiter[] {
    const waiters = this.#byIndex.get(index) ?? [];
    this.#byIndex.delete(index);
    this.#size -= waiters.length;
    for (const { cancelTimer } of waiters) cancelTimer();
    return waiters;
  }

  #remove(index: number, waiter: Waiter): void {
    const others = (this.#byIndex.get(index) ?? []).filter((other) => other !== waiter);
    this.#size -= 1;
    if (others.length === 0) this.#byIndex.delete(index);
    else this.#byIndex.set(index, others);
  }
}

function unknown(reason: string): JarvisError {
  return new JarvisError('outcome_unknown', `the outcome is unknown: ${reason}`);
}
