/** Since when tasks wait for a node: kept as entries are applied, because their rows do not say it. */

export class QueueTimes {
  /** In the order in which they were queued; that is nearly the order of the times. */
  readonly #sinceMs = new Map<string, number>();

  get size(): number {
    return this.#sinceMs.size;
  }

  queued(id: string, sinceMs: number): void {
    // Queued anew it stands behind the others.
    this.#sinceMs.delete(id);
    this.#sinceMs.set(id, sinceMs);
  }

  /** @returns since when it was there; null: not known */
  left(id: string): number | null {
    const sinceMs = this.#sinceMs.get(id) ?? null;
    this.#sinceMs.delete(id);
    return sinceMs;
  }

  /** Of the one that has waited longest; null: there is none. */
  get oldestMs(): number | null {
    for (const sinceMs of this.#sinceMs.values()) return sinceMs;
    return null;
  }

  clear(): void {
    this.#sinceMs.clear();
  }
}
