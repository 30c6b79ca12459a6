/** A short history in memory: rows of numbers by time, the oldest given up for the newest. */

const FIRST_ROWS = 8;

/** A number that is not known is null; it is kept as NaN. */
export class History {
  readonly #width: number;
  readonly #length: number;
  /** Rows one after the other, each with its wall time first. Most attempts end soon: it grows with what is in it. */
  #rows: Float64Array;
  /** Rows ever added. */
  #added = 0;

  /** @param length rows that are kept */
  constructor(width: number, length: number) {
    this.#width = width + 1;
    this.#length = length;
    this.#rows = new Float64Array(Math.min(FIRST_ROWS, length) * this.#width);
  }

  /** @param values as many as the width says */
  add(atMs: number, values: readonly (number | null)[]): void {
    const at = (this.#added % this.#length) * this.#width;
    if (at >= this.#rows.length) this.#grow();
    this.#rows[at] = atMs;
    for (let column = 1; column < this.#width; column += 1)
      this.#rows[at + column] = values[column - 1] ?? NaN;
    this.#added += 1;
  }

  /** The oldest first. @param sinceMs wall time: what is older is left out */
  *rows(
    sinceMs = -Infinity,
  ): Generator<{ readonly atMs: number; readonly values: readonly (number | null)[] }> {
    for (let row = Math.max(0, this.#added - this.#length); row < this.#added; row += 1) {
      const at = (row % this.#length) * this.#width;
      const [atMs = NaN, ...values] = this.#rows.subarray(at, at + this.#width);
      if (atMs >= sinceMs)
        yield { atMs, values: values.map((value) => (Number.isNaN(value) ? null : value)) };
    }
  }

  #grow(): void {
    const wider = new Float64Array(Math.min(this.#rows.length * 2, this.#length * this.#width));
    wider.set(this.#rows);
    this.#rows = wider;
  }
}
