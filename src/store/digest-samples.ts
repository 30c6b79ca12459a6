/** Digests of the state at indexes that are the same on every replica, for replicas to compare. */

/** Entries between two samples. */
const EVERY = 64;
/** Replicas apply at different times: so far back they can still be compared. */
const KEPT = 256;

export interface DigestSample {
  readonly index: number;
  readonly digest: string;
}

export class DigestSamples {
  readonly #samples: DigestSample[] = [];

  /** To be called after each entry. @param digest of the state as of the index */
  applied(index: number, digest: () => string): void {
    if (index % EVERY !== 0) return;
    this.#samples.push({ index, digest: digest() });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** Oldest first. */
  get all(): readonly DigestSample[] {
    return this.#samples;
  }
}
