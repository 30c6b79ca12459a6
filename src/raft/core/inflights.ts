/** The window of one follower: messages that were sent and not yet acknowledged, bounded in number and in bytes. */
export class Inflights {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** Oldest first: the last index of each message and its size. The first `#freed` of them are gone. */
  #sent: { readonly index: number; readonly bytes: number }[] = [];
  #freed = 0;
  #bytes = 0;

  /** @param maxBytes 0 for no such bound */
  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#sent.length - this.#freed;
  }

  /** One message may overfill the bytes: else an entry larger than the window could never be sent. */
  get isFull(): boolean {
    return this.count >= this.#maxMessages || (this.#maxBytes > 0 && this.#bytes >= this.#maxBytes);
  }

  add(lastIndex: number, bytes: number): void {
    this.#sent.push({ index: lastIndex, bytes });
    this.#bytes += bytes;
  }

  /** Everything up to `index` is acknowledged. */
  freeUpTo(index: number): void {
    for (;;) {
      const oldest = this.#sent[this.#freed];
      if (oldest === undefined || oldest.index > index) break;
      this.#bytes -= oldest.bytes;
      this.#freed += 1;
    }
    // Moving the rest only when half is gone keeps an acknowledgement's cost constant.
    if (this.#freed * 2 >= this.#sent.length) {
      this.#sent = this.#sent.slice(this.#freed);
      this.#freed = 0;
    }
  }

  clear(): void {
    this.#sent = [];
    this.#freed = 0;
    this.#bytes = 0;
  }
}
