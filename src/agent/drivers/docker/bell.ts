/** Wakes whoever waits. Take `next` before looking at what may have changed: a ring in between is then not missed. */
export class Bell {
  #bell = Promise.withResolvers<void>();

  get next(): Promise<void> {
    return this.#bell.promise;
  }

  ring(): void {
    this.#bell.resolve();
    this.#bell = Promise.withResolvers<void>();
  }
}
