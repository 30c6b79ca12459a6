/**
 * What the calls of all callers together may hold of what they have sent: messages that are not there in full yet, and
 * those that are and have no answer. Without it each may be within its bounds, and all of them be more than there is.
 */
import type { ByteBudget, Holding } from '../lib/byte-budget.ts';
import { limits } from '../lib/limits.ts';

/** The most that deflate unfolds a byte to. */
const UNFOLDED = 1032;

export class ReceivedBytes {
  readonly #holding: Holding;
  readonly #isCompressed: boolean;
  /** Since the last message was there in full: bytes, and what was taken for them. */
  #bytes = 0;
  #taken = 0;
  /** Of the messages without an answer, in their order. */
  readonly #unanswered: number[] = [];

  constructor(budget: ByteBudget, { isCompressed }: { readonly isCompressed: boolean }) {
    this.#holding = budget.hold();
    this.#isCompressed = isCompressed;
  }

  /** @returns whether there is room for it */
  came(bytes: number): boolean {
    this.#bytes += bytes;
    const unfolded = this.#isCompressed ? Math.min(this.#bytes * UNFOLDED, limits.rpcMessageBytes) : 0;
    const wanted = Math.max(this.#bytes, unfolded) - this.#taken;
    if (!this.#holding.take(wanted)) return false;
    this.#taken += wanted;
    return true;
  }

  /** A message was handed on, of a stream whose messages are each answered. */
  taken(): void {
    this.#unanswered.push(this.#taken);
    this.#bytes = 0;
    this.#taken = 0;
  }

  /** The oldest of them was. */
  answered(): void {
    this.#holding.give(this.#unanswered.shift() ?? 0);
  }

  close(): void {
    this.#holding.close();
  }
}
