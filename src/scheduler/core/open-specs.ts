/** Specs of open tasks. A spec may be that of several; it is there for as long as one of them is open. */
import type { SpecRow } from '../../model/task.ts';

export class OpenSpecs {
  readonly #rows = new Map<string, SpecRow>();
  /** How many open tasks need each. */
  readonly #uses = new Map<string, number>();
  /** While rows are restored: those whose tasks have not come, if they come at all. */
  readonly #unclaimed = new Map<string, SpecRow>();

  get rows(): ReadonlyMap<string, SpecRow> {
    return this.#rows;
  }

  isUsed(id: string): boolean {
    return this.#uses.has(id);
  }

  set(id: string, row: SpecRow | null): void {
    if (row === null) this.#rows.delete(id);
    else this.#rows.set(id, row);
  }

  /** A row that is restored before its tasks. */
  keepUnclaimed(id: string, row: SpecRow): void {
    this.#unclaimed.set(id, row);
  }

  forgetUnclaimed(): void {
    this.#unclaimed.clear();
  }

  /** Of tasks that were over as soon as they were made. */
  dropUnused(id: string): void {
    if (!this.#uses.has(id)) this.#rows.delete(id);
  }

  /** @param difference how many more open tasks need it */
  use(id: string, difference: 1 | -1): void {
    const uses = (this.#uses.get(id) ?? 0) + difference;
    if (uses === 0) {
      this.#uses.delete(id);
      this.#rows.delete(id);
      return;
    }
    this.#uses.set(id, uses);
    const unclaimed = this.#unclaimed.get(id);
    if (unclaimed === undefined) return;
    this.#unclaimed.delete(id);
    this.#rows.set(id, unclaimed);
  }
}
