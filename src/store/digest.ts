/**
 * Proves that two sets of rows are the same without comparing them: the sum of one hash per row, so that it follows
 * every change at the cost of that change, and does not depend on order. Four sums of 32 bits side by side: a lost,
 * doubled or changed row escapes with a chance of about 2^-128, if nobody tries; it guards against faults, not malice.
 */

/** Four independent 32-bit words. */
export interface RowHash {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/** murmur3's finalizer: every bit of the input changes every bit of the output with a chance of one half. */
function avalanche(word: number): number {
  let x = word ^ (word >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return x ^ (x >>> 16);
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

/** Hashes a row's name and content; lanes, constants and mixing as in MurmurHash3_x86_128 (A. Appleby, 2011). */
export function hashRow(name: string, content: Uint8Array): RowHash {
  let seed = name.length | 0;
  for (let at = 0; at < name.length; at += 1) {
    seed = Math.imul(rotate(seed ^ name.charCodeAt(at), 13), 0x9e3779b1);
  }
  seed = avalanche(seed);
  let a = seed;
  let b = seed ^ 0x6a09e667;
  let c = seed ^ 0x3c6ef372;
  let d = seed ^ 0x510e527f;
  const length = content.byteLength;
  // Bytes beyond the end read as zero; the length, mixed in below, tells them from zeros that are there.
  for (let at = 0; at < length; at += 16) {
    a ^= Math.imul(rotate(Math.imul(word(content, at), 0x239b961b), 15), 0xab0e9789);
    a = (Math.imul((rotate(a, 19) + b) | 0, 5) + 0x561ccd1b) | 0;
    b ^= Math.imul(rotate(Math.imul(word(content, at + 4), 0xab0e9789), 16), 0x38b34ae5);
    b = (Math.imul((rotate(b, 17) + c) | 0, 5) + 0x0bcaa747) | 0;
    c ^= Math.imul(rotate(Math.imul(word(content, at + 8), 0x38b34ae5), 17), 0xa1e38b93);
    c = (Math.imul((rotate(c, 15) + d) | 0, 5) + 0x96cd1c35) | 0;
    d ^= Math.imul(rotate(Math.imul(word(content, at + 12), 0xa1e38b93), 18), 0x239b961b);
    d = (Math.imul((rotate(d, 13) + a) | 0, 5) + 0x32ac3b17) | 0;
  }
  a ^= length;
  b ^= length;
  c ^= length;
  d ^= length;
  a = (a + b + c + d) | 0;
  b = (b + a) | 0;
  c = (c + a) | 0;
  d = (d + a) | 0;
  a = avalanche(a);
  b = avalanche(b);
  c = avalanche(c);
  d = avalanche(d);
  a = (a + b + c + d) | 0;
  return { a, b: (b + a) | 0, c: (c + a) | 0, d: (d + a) | 0 };
}

const hex = (lane: number): string => (lane >>> 0).toString(16).padStart(8, '0');

/** Number and digest of a set of rows. */
export class RowDigest {
  #rowCount = 0;
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  get rowCount(): number {
    return this.#rowCount;
  }

  /** 32 hexadecimal digits. */
  get digest(): string {
    return hex(this.#a) + hex(this.#b) + hex(this.#c) + hex(this.#d);
  }

  add(hash: RowHash): void {
    this.#rowCount += 1;
    this.#a = (this.#a + hash.a) | 0;
    this.#b = (this.#b + hash.b) | 0;
    this.#c = (this.#c + hash.c) | 0;
    this.#d = (this.#d + hash.d) | 0;
  }

  remove(hash: RowHash): void {
    this.#rowCount -= 1;
    this.#a = (this.#a - hash.a) | 0;
    this.#b = (this.#b - hash.b) | 0;
    this.#c = (this.#c - hash.c) | 0;
    this.#d = (this.#d - hash.d) | 0;
  }

  equals(other: { readonly rowCount: number; readonly digest: string }): boolean {
    return this.#rowCount === other.rowCount && this.digest === other.digest;
  }
}
