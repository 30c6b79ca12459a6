/** Memory that many share: whoever would take more than is left is told so. */

export interface Holding {
  /** @returns whether there was so much left; nothing is taken where there was not */
  take(bytes: number): boolean;
  give(bytes: number): void;
  /** All that is still held. Once more does nothing. */
  close(): void;
}

export class ByteBudget {
  readonly #total: number;
  #held = 0;

  constructor(total: number) {
    this.#total = total;
  }

  get held(): number {
    return this.#held;
  }

  hold(): Holding {
    let own = 0;
    let isOver = false;
    const give = (bytes: number): void => {
      const given = Math.min(bytes, own);
      own -= given;
      this.#held -= given;
    };
    return {
      take: (bytes) => {
        if (isOver || this.#held + bytes > this.#total) return false;
        own += bytes;
        this.#held += bytes;
        return true;
      },
      give,
      close: () => {
        give(own);
        isOver = true;
      },
    };
  }
}
