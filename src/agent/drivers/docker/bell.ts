/** Wakes whoever waits for a ring after the last that he has seen: none that comes in between is missed. */
export class Bell {
  #count = 0;
  #bell = Promise.withResolvers<void>();

  /** How often it has rung. */
  get count(): number {
    return this.#count;
  }

  ring(): void {
    this.#count += 1;
    this.#bell.resolve();
    this.#bell = Promise.withResolvers<void>();
  }

  /** Resolves once it has rung more often than that. */
  after(count: number): Promise<void> {
    return this.#count > count ? Promise.resolve() : this.#bell.promise;
  }
}
