/**
 * What a leader knows of one follower. In `probe` one message is under way until it is answered; in `replicate` they
 * flow, optimistically, up to a window; in `snapshot` nothing flows until the follower holds what it was sent.
 *
 * Invariant: match < next.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface Window {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export class Progress {
  match: number;
  next: number;
  state: ProgressState = 'probe';
  /** Heard of since the last check-quorum. */
  recentActive = false;
  /** Probing, or the window is full: nothing more is sent until an answer arrives. */
  paused = false;
  pendingSnapshot = 0;
  sentCommit = 0;
  readonly #window: Window;
  /** Sent and not yet acknowledged, oldest first: the last index of each message and its size. */
  #inflight: { readonly index: number; readonly bytes: number }[] = [];
  #inflightBytes = 0;

  constructor(match: number, next: number, window: Window) {
    this.match = match;
    this.next = next;
    this.#window = window;
  }

  get inflight(): number {
    return this.#inflight.length;
  }

  get isPaused(): boolean {
    return this.state === 'snapshot' || this.paused;
  }

  get isWindowFull(): boolean {
    return this.#inflight.length >= this.#window.maxMessages || this.#inflightBytes >= this.#window.maxBytes;
  }

  becomeProbe(): void {
    // After a snapshot the follower holds at least what was sent, if it said so.
    this.next =
      this.state === 'snapshot' ? Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.#reset('probe');
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.#reset('replicate');
  }

  becomeSnapshot(index: number): void {
    this.#reset('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** An app message with `count` entries of `bytes` in all has been sent. */
  sent(count: number, bytes: number): void {
    if (this.state === 'probe') {
      if (count > 0) this.paused = true;
      return;
    }
    if (count === 0) return;
    this.next += count;
    this.#inflight.push({ index: this.next - 1, bytes });
    this.#inflightBytes += bytes;
    this.paused = this.isWindowFull;
  }

  /** The follower holds everything up to `index`. @returns whether that is news */
  acknowledge(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.paused = false;
    return true;
  }

  /** Makes room in the window; called with what was acknowledged. */
  freeInflight(upTo: number): void {
    let freed = 0;
    for (const { index, bytes } of this.#inflight) {
      if (index > upTo) break;
      freed += 1;
      this.#inflightBytes -= bytes;
    }
    this.#inflight.splice(0, freed);
    this.paused = this.isWindowFull;
  }

  /**
   * The follower rejected what follows `rejected`, and would like what follows `hint`.
   * @returns false for an answer to something older, which changes nothing
   */
  decreaseTo(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.sentCommit = Math.min(this.sentCommit, this.next - 1);
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.paused = false;
    return true;
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.paused = false;
    this.pendingSnapshot = 0;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }
}
