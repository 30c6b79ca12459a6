/**
 * Assignments that were started or stopped here, and so never start again [STARTIDX, TOMB]. Bounded: the lowest are
 * forgotten first, and what is not above the highest forgotten one counts as seen, for assignments rise.
 */
export class SeenAssignments {
  readonly #capacity: number;
  readonly #seen = new Set<number>();
  #forgotten = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(assignment: number): void {
    if (assignment <= this.#forgotten) return;
    this.#seen.add(assignment);
    if (this.#seen.size <= this.#capacity) return;
    // Drops half at once, so that the cost of sorting is spread over as many additions.
    const ascending = [...this.#seen].sort((a, b) => a - b);
    for (const lowest of ascending.slice(0, Math.ceil(ascending.length / 2))) {
      this.#seen.delete(lowest);
      this.#forgotten = lowest;
    }
  }

  has(assignment: number): boolean {
    return assignment <= this.#forgotten || this.#seen.has(assignment);
  }
}
