/**
 * Where the newest task of each name runs or ran, for those that want to be near to it. Bounded, and so a preference
 * only: which of the oldest are forgotten may differ between a node that was restarted and one that was not.
 */
import { limits } from '../../lib/limits.ts';
import type { TaskRow } from '../../model/task.ts';

interface Place {
  readonly node: string;
  readonly assignment: number;
}

export class RecentPlaces {
  readonly #places = new Map<string, Place>();

  /** Null: none is known. */
  of(taskName: string): string | null {
    return this.#places.get(taskName)?.node ?? null;
  }

  /** To be told of every row, in any order. */
  note({ name, attempts }: TaskRow): void {
    const newest = attempts.at(-1);
    if (newest === undefined) return;
    const { node, assignment } = newest;
    const known = this.#places.get(name);
    if (known !== undefined && known.assignment >= assignment) return;
    this.#places.set(name, { node, assignment });
    if (this.#places.size > 2 * limits.recentPlaces) this.#forget();
  }

  #forget(): void {
    const newestFirst = [...this.#places].sort(([, a], [, b]) => b.assignment - a.assignment);
    for (const [name] of newestFirst.slice(limits.recentPlaces)) this.#places.delete(name);
  }
}
