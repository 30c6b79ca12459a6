/** Time that passes from one event to the next; events of the same moment run in the order in which they were planned. */
interface Planned {
  readonly atMs: number;
  readonly order: number;
  action: (() => void | Promise<void>) | null;
}

const nextTurn = Promise.resolve();

export class VirtualTime {
  #nowMs = 0;
  #planned = 0;
  /** A binary heap, the next event first. */
  readonly #heap: Planned[] = [];
  events = 0;
  /** Turns of the microtask queue after each event: chains of promises are as long as what is run makes them. */
  turns = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** @returns what takes it back */
  after(delayMs: number, action: () => void | Promise<void>): () => void {
    const event: Planned = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#planned, action };
    this.#planned += 1;
    this.#push(event);
    return () => {
      event.action = null;
    };
  }

  /** Runs what is due until then; `stop` is asked after every event. */
  async run(untilMs: number, stop: () => boolean): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#pop();
      this.#nowMs = next.atMs;
      if (next.action === null) continue;
      this.events += 1;
      // Awaited always: promises that the event settled run before the next one.
      await next.action();
      for (let turn = 0; turn < this.turns; turn += 1) await nextTurn;
      if (stop()) return;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #push(event: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Planned;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Planned)) child += 1;
      const below = heap[child] as Planned;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: Planned, other: Planned): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
