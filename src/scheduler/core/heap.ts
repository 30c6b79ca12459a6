/** A binary heap: the smallest of what it holds, by an order that is given. Adding and taking cost O(log n). */
export class Heap<T> {
  readonly #compare: (a: T, b: T) => number;
  #items: T[];

  constructor(compare: (a: T, b: T) => number, items: readonly T[] = []) {
    this.#compare = compare;
    this.#items = [...items];
    for (let at = (this.#items.length >>> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  get size(): number {
    return this.#items.length;
  }

  get top(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    let at = this.#items.length;
    this.#items.push(item);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = this.#items[parent];
      if (above === undefined || this.#compare(above, item) <= 0) break;
      this.#items[at] = above;
      at = parent;
    }
    this.#items[at] = item;
  }

  pop(): T | undefined {
    const top = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) {
      this.#items[0] = last;
      this.#sink(0);
    }
    return top;
  }

  /** To be called where the item at the top has changed its place in the order. */
  topChanged(): void {
    if (this.#items.length > 0) this.#sink(0);
  }

  retain(keep: (item: T) => boolean): void {
    this.#items = this.#items.filter(keep);
    for (let at = (this.#items.length >>> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  #sink(from: number): void {
    let at = from;
    const item = this.#items[at];
    if (item === undefined) return;
    for (;;) {
      let child = at * 2 + 1;
      const left = this.#items[child];
      if (left === undefined) break;
      const right = this.#items[child + 1];
      if (right !== undefined && this.#compare(right, left) < 0) child += 1;
      const smaller = this.#items[child];
      if (smaller === undefined || this.#compare(item, smaller) <= 0) break;
      this.#items[at] = smaller;
      at = child;
    }
    this.#items[at] = item;
  }
}
