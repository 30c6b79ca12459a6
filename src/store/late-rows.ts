/**
 * The digest of all rows. Rows of tables that change often are coded late: most are changed again before anybody asks for
 * the digest or a checkpoint begins, and then only the last of those changes is coded and hashed. How many may wait is
 * bounded, so that whoever asks holds the event loop for some ten milliseconds at most; the oldest are coded first.
 */
import { invariant } from '../lib/assert.ts';
import { encodeRow } from './codec.ts';
import type { RowDigest, RowHash } from './digest.ts';
import type { DirtyRow, KeptRow, Overlay } from './overlay.ts';
import type { RowValue } from './replicated-core.ts';

export interface NamedChange {
  /** `table/key` */
  readonly name: string;
  readonly before: RowValue | null;
  readonly after: RowValue | null;
  /** Its table is one that changes often. */
  readonly isLate: boolean;
}

export class LateRows {
  /** Without the rows that are late. */
  readonly #digest: RowDigest;
  readonly #overlay: Overlay;
  /** By name, the one that has waited longest first; all of them are in the overlay's active layer. */
  readonly #late = new Map<string, KeptRow>();

  readonly #most: number;

  /** @param most that may be late */
  constructor(digest: RowDigest, overlay: Overlay, most: number) {
    this.#digest = digest;
    this.#overlay = overlay;
    this.#most = most;
  }

  /** Of all rows; 32 hexadecimal digits. */
  get digest(): string {
    this.#settle(0);
    return this.#digest.digest;
  }

  get rowCount(): number {
    return this.#digest.rowCount + this.#late.size;
  }

  /** Before the overlay takes the row. @returns what it is to take */
  change({ name, before, after, isLate }: NamedChange): DirtyRow {
    const wasLate = this.#late.delete(name);
    if (before !== null && !wasLate) this.#digest.remove(this.#hashOf(name, before));
    if (after === null) return { row: null, encoded: null };
    if (isLate) {
      const late: KeptRow = { row: after, encoded: null };
      this.#late.set(name, late);
      return late;
    }
    const encoded = encodeRow(name, after);
    this.#digest.add(encoded.hash);
    return { row: after, encoded };
  }

  /** After each entry. */
  keepBound(): void {
    if (this.#late.size > this.#most) this.#settle(this.#most);
  }

  /** @param left so many may stay late */
  #settle(left: number): void {
    let count = this.#late.size - left;
    for (const [name, late] of this.#late) {
      if (count <= 0) return;
      count -= 1;
      this.#late.delete(name);
      invariant(this.#overlay.get(name) === late, `${name} is late as the overlay has it`);
      const encoded = encodeRow(name, late.row);
      this.#overlay.encoded(late, encoded);
      this.#digest.add(encoded.hash);
    }
  }

  #hashOf(name: string, row: RowValue): RowHash {
    const dirty = this.#overlay.get(name);
    // Else it has not changed since the checkpoint, and its bytes are gone.
    return dirty?.row === row && dirty.encoded !== null ? dirty.encoded.hash : encodeRow(name, row).hash;
  }
}
