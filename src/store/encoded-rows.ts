/** What rows look like as bytes: made once per row object, for the digest at once and for the next checkpoint. */
import { contentOf, encodeStored } from './codec.ts';
import { hashRow, type RowHash } from './digest.ts';
import type { RowValue } from './replicated-core.ts';

export interface EncodedRow {
  readonly hash: RowHash;
  /** Bytes of the stored value. */
  readonly byteLength: number;
  /** Dropped once a checkpoint holds the row; the hash stays for as long as the row. */
  stored: Uint8Array | null;
}

interface Remembered extends EncodedRow {
  readonly name: string;
}

export class EncodedRows {
  readonly #rows = new WeakMap<RowValue, Remembered>();

  of(name: string, row: RowValue): EncodedRow {
    const known = this.#rows.get(row);
    if (known?.name === name) return known;
    return this.#remember(name, row, encodeStored(row), true);
  }

  storedOf(name: string, row: RowValue): Uint8Array {
    return this.of(name, row).stored ?? encodeStored(row);
  }

  /** A row just decoded: its hash is that of the bytes it came from, whatever version wrote them. */
  decoded(name: string, row: RowValue, stored: Uint8Array): EncodedRow {
    return this.#remember(name, row, stored, false);
  }

  #remember(name: string, row: RowValue, stored: Uint8Array, keep: boolean): EncodedRow {
    const encoded: Remembered = {
      name,
      hash: hashRow(name, contentOf(stored)),
      byteLength: stored.byteLength,
      stored: keep ? stored : null,
    };
    this.#rows.set(row, encoded);
    return encoded;
  }
}
