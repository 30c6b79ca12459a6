/**
 * Knows of most rows that are nowhere that they are nowhere, without asking LevelDB: a Bloom filter (B. H. Bloom, 1970)
 * of the names of all rows that there are or have been. Nearly every idempotency key is looked up once and never found.
 * It never denies a name that was added, on which replicas rely to agree; about one in a hundred others it does not deny
 * once two million rows have been added, and more with more: each of these costs a read.
 */
const BITS = 2 ** 25;
const MASK = BITS - 1;
const PROBES = 4;

export class NameFilter {
  readonly #words = new Uint32Array(BITS / 32);

  add(name: string): void {
    let { first, step } = hashesOf(name);
    for (let probe = 0; probe < PROBES; probe += 1) {
      const bit = first & MASK;
      this.#words[bit >>> 5] = (this.#words[bit >>> 5] ?? 0) | (1 << (bit & 31));
      first = (first + step) | 0;
    }
  }

  /** False: it was never added. */
  mayHold(name: string): boolean {
    let { first, step } = hashesOf(name);
    for (let probe = 0; probe < PROBES; probe += 1) {
      const bit = first & MASK;
      if (((this.#words[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) return false;
      first = (first + step) | 0;
    }
    return true;
  }
}

/** Two hashes give all probes (A. Kirsch, M. Mitzenmacher, 2006): FNV-1a, and a second one of other constants. */
function hashesOf(name: string): { first: number; step: number } {
  let first = 0x811c9dc5;
  let step = 0x9e3779b1;
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    first = Math.imul(first ^ code, 0x01000193);
    step = Math.imul(step, 0x85ebca6b) ^ Math.imul(code + at, 0xc2b2ae35);
  }
  first = Math.imul(first ^ (first >>> 15), 0x2c1b3c6d);
  step = Math.imul(step ^ (step >>> 13), 0x297a2d39);
  // An even step would visit only half of the bits.
  return { first: first ^ (first >>> 12), step: (step ^ (step >>> 16)) | 1 };
}
