/** How many tasks of each concurrency key are open, and how many of those on nodes: an index that follows from the rows. */
import { concurrencyOf } from '../../model/earlier-rows.ts';
import type { TaskRow } from '../../model/task.ts';
import { nodeHolding } from './node-loads.ts';

export interface KeyUse {
  /**
   * The same for all open tasks of the key; where later slices of a batch have brought others, the least, so that it
   * does not depend on the order of the rows.
   */
  readonly max: number;
  readonly holding: number;
}

class Use implements KeyUse {
  /** Open tasks, by their maximum. */
  readonly maxima = new Map<number, number>();
  holding = 0;

  get max(): number {
    return Math.min(...this.maxima.keys());
  }

  count(max: number, difference: 1 | -1): void {
    const count = (this.maxima.get(max) ?? 0) + difference;
    if (count === 0) this.maxima.delete(max);
    else this.maxima.set(max, count);
  }
}

export class ConcurrencyKeys {
  readonly #uses = new Map<string, Use>();

  /** Null: no open task has the key. */
  use(key: string): KeyUse | null {
    return this.#uses.get(key) ?? null;
  }

  add(task: TaskRow): void {
    const concurrency = concurrencyOf(task);
    if (concurrency === null) return;
    const { key, max } = concurrency;
    const use = this.#uses.get(key) ?? new Use();
    use.count(max, 1);
    if (nodeHolding(task) !== null) use.holding += 1;
    this.#uses.set(key, use);
  }

  remove(task: TaskRow): void {
    const concurrency = concurrencyOf(task);
    const use = concurrency === null ? undefined : this.#uses.get(concurrency.key);
    if (concurrency === null || use === undefined) return;
    use.count(concurrency.max, -1);
    if (nodeHolding(task) !== null) use.holding -= 1;
    if (use.maxima.size === 0) this.#uses.delete(concurrency.key);
  }
}
