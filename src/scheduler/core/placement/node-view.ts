/**
 * The nodes that may do for one kind of request, as a tournament: above each pair stands what is most free of either, and
 * the better one. The best node that fits is found, and a changed node brought in, in O(log n).
 */
import type { Resources } from '../../../model/task.ts';
import type { NodeTable } from './node-table.ts';

// A place of the tournament is one line of the processor's cache: with many nodes most of the time goes to fetching them.
const FIELDS = 8;
const FREE_CPU = 0;
const FREE_MEMORY = 1;
/** The best below; minus infinity: none is open. */
const KEY = 2;
/** The largest below; -1: nothing is. */
const CAPACITY_CPU = 3;
const CAPACITY_MEMORY = 4;
/** The leaf that is best by key, then tasks, then name; -1: none is open. */
const BEST = 5;
/** 1: all below have the same capacity, so that their keys order them for every request. */
const IS_UNIFORM = 6;
/** Of a leaf: tasks there. */
const COUNT = 7;

export class NodeView {
  readonly #table: NodeTable;
  /** Of the leaves, from the left. */
  readonly slots: Int32Array;
  readonly #leaves: Int32Array;
  readonly #width: number;
  /** Place 1 is the top, below place n are 2n and 2n + 1; from `width` on stand the leaves. */
  readonly #places: Float64Array;
  readonly #stack = new Int32Array(128);
  #seen = 0;

  /** @param slots in the table's order: neighbours have much in common */
  constructor(table: NodeTable, slots: readonly number[]) {
    this.#table = table;
    this.slots = Int32Array.from(slots);
    this.#leaves = new Int32Array(table.rows.length).fill(-1);
    for (const [leaf, slot] of slots.entries()) this.#leaves[slot] = leaf;
    let width = 1;
    while (width < slots.length) width *= 2;
    this.#width = width;
    this.#places = new Float64Array(2 * width * FIELDS).fill(-1);
    for (let at = 0; at < 2 * width; at += 1) {
      this.#places[at * FIELDS + KEY] = Number.NEGATIVE_INFINITY;
      this.#places[at * FIELDS + IS_UNIFORM] = 1;
    }
    this.#build();
  }

  has(slot: number): boolean {
    return (this.#leaves[slot] ?? -1) >= 0;
  }

  /** Brings in what has changed. */
  catchUp(): void {
    const { changes, changesBegin } = this.#table;
    if (this.#seen < changesBegin) this.#build();
    for (let at = this.#seen - changesBegin; at < changes.length; at += 1) {
      const leaf = this.#leaves[changes[at] ?? -1] ?? -1;
      if (leaf >= 0) this.#update(leaf);
    }
    this.#seen = changesBegin + changes.length;
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
      if (!this.#mayFit(at, cpuMillis, memoryBytes)) continue;
      const bound = this.#scoreAt(at, cpuMillis, memoryBytes);
      if (bound < bestScore) continue;
      if (this.#field(at, IS_UNIFORM) === 1) {
        const leaf = this.#field(at, BEST);
        if (bound === bestScore && best >= 0 && !this.#isBefore(leaf, best)) continue;
        if (this.#mayFit(this.#width + leaf, cpuMillis, memoryBytes)) {
          best = leaf;
          bestScore = bound;
          continue;
        }
      }
      const [left, right] = [2 * at, 2 * at + 1];
      const leftFirst = this.#field(left, KEY) >= this.#field(right, KEY);
      stack[depth++] = leftFirst ? right : left;
      stack[depth++] = leftFirst ? left : right;
    }
    return best < 0 ? -1 : (this.slots[best] ?? -1);
  }

  /** As if the node were not there. */
  bestWithout(slot: number, request: Resources): number {
    const leaf = this.#leaves[slot] ?? -1;
    if (leaf < 0) return this.best(request);
    this.#close(this.#width + leaf);
    this.#pullAbove(leaf);
    const found = this.best(request);
    this.#update(leaf);
    return found;
  }

  /** The first leaf at or after `from` that fits; -1: none does. */
  nextFitting(from: number, { cpuMillis, memoryBytes }: Resources): number {
    if (from >= this.slots.length) return -1;
    let at = this.#width + from;
    for (;;) {
      // To the right of whatever has nothing that fits, as high as that goes.
      while (!this.#mayFit(at, cpuMillis, memoryBytes)) {
        while ((at & 1) === 1) at >>>= 1;
        if (at === 0) return -1;
        at += 1;
      }
      if (at >= this.#width) return at - this.#width;
      // Down; what is most free of cpu and of memory may be two nodes, then nothing there fits after all.
      at *= 2;
    }
  }

  #field(at: number, field: number): number {
    return this.#places[at * FIELDS + field] ?? 0;
  }

  #mayFit(at: number, cpuMillis: number, memoryBytes: number): boolean {
    return this.#field(at, FREE_CPU) >= cpuMillis && this.#field(at, FREE_MEMORY) >= memoryBytes;
  }

  #scoreAt(at: number, cpuMillis: number, memoryBytes: number): number {
    const used = cpuMillis / this.#field(at, CAPACITY_CPU) + memoryBytes / this.#field(at, CAPACITY_MEMORY);
    return this.#field(at, KEY) - used / 2;
  }

  /** Of two leaves with the same key: fewer tasks, then the name, by which those of one capacity stand in order. */
  #isBefore(leaf: number, other: number): boolean {
    const [a, b] = [this.#width + leaf, this.#width + other];
    const difference = this.#field(a, COUNT) - this.#field(b, COUNT);
    if (difference !== 0) return difference < 0;
    if (
      this.#field(a, CAPACITY_CPU) === this.#field(b, CAPACITY_CPU) &&
      this.#field(a, CAPACITY_MEMORY) === this.#field(b, CAPACITY_MEMORY)
    )
      return leaf < other;
    return this.#table.isBefore(this.slots[leaf] ?? 0, this.slots[other] ?? 0);
  }

  #build(): void {
    const places = this.#places;
    for (let leaf = 0; leaf < this.slots.length; leaf += 1) this.#set(leaf);
    for (let at = this.#width - 1; at >= 1; at -= 1) {
      const [left, right] = [2 * at, 2 * at + 1];
      for (const field of [CAPACITY_CPU, CAPACITY_MEMORY])
        places[at * FIELDS + field] = Math.max(this.#field(left, field), this.#field(right, field));
      places[at * FIELDS + IS_UNIFORM] = this.#isAlike(left, right) ? 1 : 0;
      this.#pull(at);
    }
    this.#seen = this.#table.changesBegin + this.#table.changes.length;
  }

  #isAlike(left: number, right: number): boolean {
    if (this.#field(left, IS_UNIFORM) !== 1 || this.#field(right, IS_UNIFORM) !== 1) return false;
    if (this.#field(left, CAPACITY_CPU) === -1 || this.#field(right, CAPACITY_CPU) === -1) return true;
    return (
      this.#field(left, CAPACITY_CPU) === this.#field(right, CAPACITY_CPU) &&
      this.#field(left, CAPACITY_MEMORY) === this.#field(right, CAPACITY_MEMORY)
    );
  }

  #update(leaf: number): void {
    this.#set(leaf);
    this.#pullAbove(leaf);
  }

  #pullAbove(leaf: number): void {
    for (let at = (this.#width + leaf) >>> 1; at >= 1; at >>>= 1) {
      const before = this.#field(at, BEST);
      // Where the leaf neither was nor is anybody's best, nor the most free, nothing above sees the difference.
      if (!this.#pull(at) && before === this.#field(at, BEST) && before !== leaf) return;
    }
  }

  #set(leaf: number): void {
    const { table, places } = { table: this.#table, places: this.#places };
    const slot = this.slots[leaf] ?? 0;
    const at = this.#width + leaf;
    const base = at * FIELDS;
    places[base + CAPACITY_CPU] = table.capacityCpu(slot);
    places[base + CAPACITY_MEMORY] = table.capacityMemory(slot);
    places[base + COUNT] = table.count(slot);
    if (!table.isOpen(slot)) {
      this.#close(at);
      return;
    }
    places[base + FREE_CPU] = table.freeCpu(slot);
    places[base + FREE_MEMORY] = table.freeMemory(slot);
    places[base + KEY] = table.spreadKey(slot);
    places[base + BEST] = leaf;
  }

  #close(at: number): void {
    const places = this.#places;
    const base = at * FIELDS;
    places[base + FREE_CPU] = -1;
    places[base + FREE_MEMORY] = -1;
    places[base + KEY] = Number.NEGATIVE_INFINITY;
    places[base + BEST] = -1;
  }

  /** @returns whether what is most free, or the best key, has changed */
  #pull(at: number): boolean {
    const places = this.#places;
    const base = at * FIELDS;
    const left = 2 * base;
    const right = left + FIELDS;
    const cpu = larger(places[left + FREE_CPU], places[right + FREE_CPU]);
    const memory = larger(places[left + FREE_MEMORY], places[right + FREE_MEMORY]);
    const [keyLeft, keyRight] = [places[left + KEY] ?? 0, places[right + KEY] ?? 0];
    const key = larger(keyLeft, keyRight);
    const isChanged =
      cpu !== places[base + FREE_CPU] || memory !== places[base + FREE_MEMORY] || key !== places[base + KEY];
    places[base + FREE_CPU] = cpu;
    places[base + FREE_MEMORY] = memory;
    places[base + KEY] = key;
    const [bestLeft, bestRight] = [places[left + BEST] ?? -1, places[right + BEST] ?? -1];
    const isRight =
      keyRight > keyLeft || (keyRight === keyLeft && bestRight >= 0 && this.#isBefore(bestRight, bestLeft));
    places[base + BEST] = isRight ? bestRight : bestLeft;
    return isChanged;
  }
}

function larger(a = 0, b = 0): number {
  return a > b ? a : b;
}
