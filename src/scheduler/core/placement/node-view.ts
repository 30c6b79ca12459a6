/**
 * The nodes that may do for one kind of request, as a tournament: above each pair stands what is most free of either, and
 * the better one. The best node that fits is found, and a changed node brought in, in O(log n).
 */
import type { Resources } from '../../../model/task.ts';
import type { NodeTable } from './node-table.ts';

export class NodeView {
  readonly #table: NodeTable;
  /** Of the leaves; the first half of what follows, up to it, are the pairs above them. */
  readonly slots: Int32Array;
  readonly #leaves: Int32Array;
  readonly #width: number;
  readonly #freeCpu: Float64Array;
  readonly #freeMemory: Float64Array;
  readonly #key: Float64Array;
  /** The largest below; -1: nothing is. */
  readonly #capacityCpu: Float64Array;
  readonly #capacityMemory: Float64Array;
  /** 1: all below have the same capacity, so that their keys order them for every request. */
  readonly #isUniform: Uint8Array;
  /** The leaf that is best by key, then tasks, then name; -1: none is open. */
  readonly #best: Int32Array;
  readonly #stack = new Int32Array(128);
  #seen: number;

  /** @param slots in the table's order: neighbours have much in common */
  constructor(table: NodeTable, slots: readonly number[]) {
    this.#table = table;
    this.slots = Int32Array.from(slots);
    this.#leaves = new Int32Array(table.rows.length).fill(-1);
    for (const [leaf, slot] of slots.entries()) this.#leaves[slot] = leaf;
    let width = 1;
    while (width < slots.length) width *= 2;
    this.#width = width;
    this.#freeCpu = new Float64Array(2 * width).fill(-1);
    this.#freeMemory = new Float64Array(2 * width).fill(-1);
    this.#key = new Float64Array(2 * width).fill(Number.NEGATIVE_INFINITY);
    this.#capacityCpu = new Float64Array(2 * width).fill(-1);
    this.#capacityMemory = new Float64Array(2 * width).fill(-1);
    this.#isUniform = new Uint8Array(2 * width).fill(1);
    this.#best = new Int32Array(2 * width).fill(-1);
    this.#seen = 0;
    this.#build();
  }

  has(slot: number): boolean {
    return (this.#leaves[slot] ?? -1) >= 0;
  }

  /** Brings in what has changed. */
  catchUp(): void {
    const { changes, changesBegin } = this.#table;
    const end = changesBegin + changes.length;
    if (this.#seen < changesBegin) this.#build();
    for (let at = this.#seen - changesBegin; at < changes.length; at += 1) {
      const leaf = this.#leaves[changes[at] ?? -1] ?? -1;
      if (leaf >= 0) this.#update(leaf);
    }
    this.#seen = end;
  }

  /** By spread, of nodes that fit: most free with the task on it, then fewest tasks, then the name. -1: none fits. */
  best({ cpuMillis, memoryBytes }: Resources): number {
    const stack = this.#stack;
    let depth = 0;
    stack[depth++] = 1;
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    while (depth > 0) {
      depth -= 1;
      const at = stack[depth] ?? 1;
      if ((this.#freeCpu[at] ?? -1) < cpuMillis || (this.#freeMemory[at] ?? -1) < memoryBytes) continue;
      const bound = this.#scoreAt(at, cpuMillis, memoryBytes);
      if (bound < bestScore) continue;
      if (this.#isUniform[at] === 1) {
        const leaf = this.#best[at] ?? -1;
        if (bound === bestScore && best >= 0 && !this.#isBefore(leaf, best)) continue;
        if (this.#fits(leaf, cpuMillis, memoryBytes)) {
          best = leaf;
          bestScore = bound;
          continue;
        }
      }
      const [left, right] = [2 * at, 2 * at + 1];
      const leftFirst = (this.#key[left] ?? 0) >= (this.#key[right] ?? 0);
      stack[depth++] = leftFirst ? right : left;
      stack[depth++] = leftFirst ? left : right;
    }
    return best < 0 ? -1 : (this.slots[best] ?? -1);
  }

  /** As if the node were not there. */
  bestWithout(slot: number, request: Resources): number {
    const leaf = this.#leaves[slot] ?? -1;
    if (leaf < 0) return this.best(request);
    this.#clear(this.#width + leaf);
    this.#pullAbove(leaf);
    const found = this.best(request);
    this.#update(leaf);
    return found;
  }

  /** The first leaf at or after `from` that fits; -1: none does. */
  nextFitting(from: number, { cpuMillis, memoryBytes }: Resources): number {
    if (from >= this.slots.length) return -1;
    let at = this.#width + from;
    // Up to where something to the right of it, or itself, may fit; then down to the leftmost that does.
    while (!((this.#freeCpu[at] ?? -1) >= cpuMillis && (this.#freeMemory[at] ?? -1) >= memoryBytes)) {
      while ((at & 1) === 1) at >>>= 1;
      if (at === 0) return -1;
      at += 1;
    }
    return this.#leftmost(at, cpuMillis, memoryBytes);
  }

  #leftmost(from: number, cpuMillis: number, memoryBytes: number): number {
    let at = from;
    for (;;) {
      if (at >= this.#width) return at - this.#width;
      at *= 2;
      // What is most free of both may stand on different nodes below: then nothing here fits, and one goes on beyond.
      while (!((this.#freeCpu[at] ?? -1) >= cpuMillis && (this.#freeMemory[at] ?? -1) >= memoryBytes)) {
        while ((at & 1) === 1) at >>>= 1;
        if (at === 0) return -1;
        at += 1;
      }
    }
  }

  #scoreAt(at: number, cpuMillis: number, memoryBytes: number): number {
    const used = cpuMillis / (this.#capacityCpu[at] ?? 1) + memoryBytes / (this.#capacityMemory[at] ?? 1);
    return (this.#key[at] ?? 0) - used / 2;
  }

  #fits(leaf: number, cpuMillis: number, memoryBytes: number): boolean {
    const at = this.#width + leaf;
    return leaf >= 0 && (this.#freeCpu[at] ?? -1) >= cpuMillis && (this.#freeMemory[at] ?? -1) >= memoryBytes;
  }

  #isBefore(leaf: number, other: number): boolean {
    return leaf >= 0 && this.#table.isBefore(this.slots[leaf] ?? 0, this.slots[other] ?? 0);
  }

  #build(): void {
    for (let leaf = 0; leaf < this.slots.length; leaf += 1) this.#set(leaf);
    for (let at = this.#width - 1; at >= 1; at -= 1) {
      const [left, right] = [2 * at, 2 * at + 1];
      this.#capacityCpu[at] = larger(this.#capacityCpu, left, right);
      this.#capacityMemory[at] = larger(this.#capacityMemory, left, right);
      this.#isUniform[at] = this.#isAlike(left, right) ? 1 : 0;
      this.#pull(at);
    }
    this.#seen = this.#table.changesBegin + this.#table.changes.length;
  }

  #isAlike(left: number, right: number): boolean {
    if (this.#isUniform[left] !== 1 || this.#isUniform[right] !== 1) return false;
    if (this.#capacityCpu[left] === -1 || this.#capacityCpu[right] === -1) return true;
    return (
      this.#capacityCpu[left] === this.#capacityCpu[right] &&
      this.#capacityMemory[left] === this.#capacityMemory[right]
    );
  }

  #update(leaf: number): void {
    this.#set(leaf);
    this.#pullAbove(leaf);
  }

  #pullAbove(leaf: number): void {
    for (let at = (this.#width + leaf) >>> 1; at >= 1; at >>>= 1) {
      const before = this.#best[at];
      // Where the leaf neither was nor is anybody's best, nor the most free, nothing above sees the difference.
      if (!this.#pull(at) && before === this.#best[at] && before !== leaf) return;
    }
  }

  #set(leaf: number): void {
    const table = this.#table;
    const slot = this.slots[leaf] ?? 0;
    const at = this.#width + leaf;
    this.#capacityCpu[at] = table.capacityCpu[slot] ?? 0;
    this.#capacityMemory[at] = table.capacityMemory[slot] ?? 0;
    if (table.isOpen[slot] !== 1) {
      this.#clear(at);
      return;
    }
    this.#freeCpu[at] = table.freeCpu[slot] ?? 0;
    this.#freeMemory[at] = table.freeMemory[slot] ?? 0;
    this.#key[at] = table.spreadKey[slot] ?? 0;
    this.#best[at] = leaf;
  }

  #clear(at: number): void {
    this.#freeCpu[at] = -1;
    this.#freeMemory[at] = -1;
    this.#key[at] = Number.NEGATIVE_INFINITY;
    this.#best[at] = -1;
  }

  /** @returns whether what is most free, or the best key, has changed */
  #pull(at: number): boolean {
    const [left, right] = [2 * at, 2 * at + 1];
    const cpu = larger(this.#freeCpu, left, right);
    const memory = larger(this.#freeMemory, left, right);
    const key = larger(this.#key, left, right);
    const isChanged = cpu !== this.#freeCpu[at] || memory !== this.#freeMemory[at] || key !== this.#key[at];
    this.#freeCpu[at] = cpu;
    this.#freeMemory[at] = memory;
    this.#key[at] = key;
    this.#best[at] = this.#betterOf(this.#best[left] ?? -1, this.#best[right] ?? -1);
    return isChanged;
  }

  #betterOf(left: number, right: number): number {
    if (left < 0) return right;
    if (right < 0) return left;
    const difference = (this.#key[this.#width + left] ?? 0) - (this.#key[this.#width + right] ?? 0);
    if (difference !== 0) return difference > 0 ? left : right;
    return this.#isBefore(right, left) ? right : left;
  }
}

function larger(values: Float64Array, left: number, right: number): number {
  const [a, b] = [values[left] ?? 0, values[right] ?? 0];
  return a > b ? a : b;
}
