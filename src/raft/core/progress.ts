/**
 * What a leader knows of one member, and the flow control that follows from it. In `probe` one message with entries is
 * under way until it is answered; in `replicate` they flow optimistically, up to a window; in `snapshot` nothing flows
 * until the follower can be caught up from the log.
 *
 * Invariant: match < next.
 */
import type { Inflights } from './inflights.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  /** Highest index that the member is known to hold. */
  match: number;
  /** Index of the entry to send next. */
  next: number;
  state: ProgressState = 'probe';
  isLearner: boolean;
  /** Heard of since the last check-quorum. */
  recentActive = false;
  /** Probing, or the window is full: nothing more is sent until an answer arrives. */
  isFlowPaused = false;
  /** In `snapshot`: the index of the one that was sent. */
  pendingSnapshot = 0;
  readonly inflights: Inflights;
  /** Highest commit index that a message under way, or received, tells the member. */
  #sentCommit = 0;

  constructor(match: number, next: number, isLearner: boolean, inflights: Inflights) {
    this.match = match;
    this.next = next;
    this.isLearner = isLearner;
    this.inflights = inflights;
  }

  get isPaused(): boolean {
    return this.state === 'snapshot' || this.isFlowPaused;
  }

  becomeProbe(): void {
    if (this.state === 'snapshot') {
      // What was sent is taken to have arrived; if it has not, the probe is rejected.
      const { pendingSnapshot } = this;
      this.#reset('probe');
      this.next = Math.max(this.match + 1, pendingSnapshot + 1);
    } else {
      this.#reset('probe');
      this.next = this.match + 1;
    }
    this.#regressSentCommit();
  }

  becomeReplicate(): void {
    this.#reset('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#reset('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** An app message with `count` entries of `bytes` in all was sent. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === 'probe') {
      // An empty message is no probe: it must not hold up the entries that come next.
      if (count > 0) this.isFlowPaused = true;
      return;
    }
    if (count > 0) {
      this.next += count;
      this.inflights.add(this.next - 1, bytes);
    }
    this.isFlowPaused = this.inflights.isFull;
  }

  sentCommit(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Whether telling the commit index would let the member commit more than what it was told already. */
  canBumpCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The member holds everything up to `index`. @returns whether that is news */
  acknowledge(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.isFlowPaused = false;
    return true;
  }

  /**
   * The member rejected what follows `rejected`, and would take what follows `hint`.
   * @returns false for an answer to something older, which changes nothing
   */
  decreaseTo(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.#regressSentCommit();
      return true;
    }
    // While probing there is one message under way: any other answer is to an older one.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.#regressSentCommit();
    this.isFlowPaused = false;
    return true;
  }

  /** The member lost what it had acknowledged: it is probed anew from what it says that it holds. */
  forgetMatch(hint: number): void {
    this.next = Math.max(1, Math.min(hint, this.match) + 1);
    this.match = 0;
    const { next } = this;
    this.#reset('probe');
    this.next = next;
    this.#sentCommit = 0;
  }

  /** What was told about commits beyond `next` has probably not been heeded. */
  #regressSentCommit(): void {
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.isFlowPaused = false;
    this.pendingSnapshot = 0;
    this.inflights.clear();
  }
}
