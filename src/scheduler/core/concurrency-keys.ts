/** How many tasks of each concurrency key are open, and how many of those on nodes: an index that follows from the rows. */
import { concurrencyOf } from '../../model/earlier-rows.ts';
import type { TaskRow } from '../../model/task.ts';
import { nodeHolding } from './node-loads.ts';

export interface KeyUse {
  /** The same for all open tasks of the key. */
  readonly max: number;
  readonly holding: number;
}

interface Use extends KeyUse {
  open: number;
  holding: number;
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
    const use = this.#uses.get(key) ?? { max, open: 0, holding: 0 };
    use.open += 1;
    if (nodeHolding(task) !== null) use.holding += 1;
    this.#uses.set(key, use);
  }

  remove(task: TaskRow): void {
    const key = concurrencyOf(task)?.key ?? null;
    const use = key === null ? undefined : this.#uses.get(key);
    if (key === null || use === undefined) return;
    use.open -= 1;
    if (nodeHolding(task) !== null) use.holding -= 1;
    if (use.open === 0) this.#uses.delete(key);
  }
}
