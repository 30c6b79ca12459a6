/** Lets reads run side by side, and something that replaces what they read run alone. */
export class ReadGate {
  #reads = 0;
  #closed: PromiseWithResolvers<void> | null = null;
  #drained: PromiseWithResolvers<void> | null = null;

  async read<T>(read: () => Promise<T>): Promise<T> {
    while (this.#closed !== null) await this.#closed.promise;
    this.#reads += 1;
    try {
      return await read();
    } finally {
      this.#reads -= 1;
      if (this.#reads === 0) this.#drained?.resolve();
    }
  }

  /** Begins once the reads under way have ended (they are bounded); later ones wait for its end. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#closed !== null) await this.#closed.promise;
    this.#closed = Promise.withResolvers();
    try {
      if (this.#reads > 0) {
        this.#drained = Promise.withResolvers();
        await this.#drained.promise;
        this.#drained = null;
      }
      return await work();
    } finally {
      const { resolve } = this.#closed;
      this.#closed = null;
      resolve();
    }
  }
}
