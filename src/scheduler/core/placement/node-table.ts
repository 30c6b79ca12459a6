/**
 * The nodes as the planner looks at them: numbers in arrays, a slot for each node, kept up to date as the state changes.
 * What follows from rows alone (labels, drivers, capacity) has a version; what is free changes with every placement.
 */
import { limits } from '../../../lib/limits.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Resources } from '../../../model/task.ts';
import { closedTo } from './fit.ts';

/** On a node by plans that are not applied yet. */
export interface PlannedUse extends Resources {
  readonly count: number;
}

// A node is one line of the processor's cache: with many nodes most of the time goes to fetching them.
const FIELDS = 8;
const FREE_CPU = 0;
const FREE_MEMORY = 1;
const CAPACITY_CPU = 2;
const CAPACITY_MEMORY = 3;
const COUNT = 4;
const IS_OPEN = 5;
const IDLENESS = 6;
const SPREAD_KEY = 7;
const LEAST_NODES = 64;

export class NodeTable {
  /** By slot; null: nobody's. */
  readonly rows: (NodeRow | null)[] = [];
  /** Slots of all nodes, by capacity, then name. */
  readonly order: number[] = [];
  readonly #slots = new Map<string, number>();
  readonly #vacant: number[] = [];
  /** By slot, {@link FIELDS} numbers. */
  #numbers = new Float64Array(0);
  /** Kept for the head of the queue, while tasks behind it are planned. */
  readonly #reserved = new Set<number>();
  /** Slots in the order in which they changed, since {@link changesBegin}. */
  changes: number[] = [];
  /** How many changes there were before those. */
  changesBegin = 0;
  /** Rises where a row changes in what never depends on the work there. */
  rowsVersion = 0;
  /** By slot, the place in the order of names, as of {@link #ranksVersion}. */
  #ranks = new Int32Array(0);
  #ranksVersion = -1;

  freeCpu(slot: number): number {
    return this.#field(slot, FREE_CPU);
  }

  freeMemory(slot: number): number {
    return this.#field(slot, FREE_MEMORY);
  }

  capacityCpu(slot: number): number {
    return this.#field(slot, CAPACITY_CPU);
  }

  capacityMemory(slot: number): number {
    return this.#field(slot, CAPACITY_MEMORY);
  }

  /** Tasks there. */
  count(slot: number): number {
    return this.#field(slot, COUNT);
  }

  /** It takes work. */
  isOpen(slot: number): boolean {
    return this.#field(slot, IS_OPEN) === 1;
  }

  /** 1: nothing outside keeps it busy, 0: all of it is. */
  idleness(slot: number): number {
    return this.#field(slot, IDLENESS);
  }

  /** What `spread` orders by: the mean share that is free, and the idleness. */
  spreadKey(slot: number): number {
    return this.#field(slot, SPREAD_KEY);
  }

  get size(): number {
    return this.#slots.size;
  }

  slotOf(name: string): number | undefined {
    return this.#slots.get(name);
  }

  rowOf(slot: number): NodeRow {
    const row = this.rows[slot];
    if (row === null || row === undefined) throw new Error(`slot ${slot} is no node's`);
    return row;
  }

  /** @param row null: the node is gone */
  sync(
    name: string,
    row: NodeRow | null,
    use: { allocated: Resources; taskCount: number; planned: PlannedUse },
  ): void {
    const known = this.#slots.get(name);
    if (row === null) {
      if (known !== undefined) this.#remove(name, known);
      return;
    }
    const slot = known ?? this.#add(row);
    const before = this.rows[slot];
    if (known !== undefined && before !== row && before !== null && before !== undefined) {
      if (isMoved(before, row)) {
        this.#unorder(slot);
        this.rows[slot] = row;
        this.#enter(slot, row);
      } else if (!sameRules(before, row)) this.rowsVersion += 1;
      this.rows[slot] = row;
    }
    const { allocated, taskCount, planned } = use;
    const freeCpu = row.capacity.cpuMillis - allocated.cpuMillis - planned.cpuMillis;
    const freeMemory = row.capacity.memoryBytes - allocated.memoryBytes - planned.memoryBytes;
    const count = taskCount + planned.count;
    // A plan that was applied as it was made changes nothing here.
    const isSame =
      before === row &&
      this.freeCpu(slot) === freeCpu &&
      this.freeMemory(slot) === freeMemory &&
      this.count(slot) === count;
    if (isSame && known !== undefined) return;
    this.#set(slot, FREE_CPU, freeCpu);
    this.#set(slot, FREE_MEMORY, freeMemory);
    this.#set(slot, COUNT, count);
    this.#changed(slot);
  }

  /** @param share 0 to 1 */
  setIdleness(slot: number, share: number): void {
    if (this.idleness(slot) === share) return;
    this.#set(slot, IDLENESS, share);
    this.#changed(slot);
  }

  take(slot: number, { cpuMillis, memoryBytes }: Resources): void {
    this.#set(slot, FREE_CPU, this.freeCpu(slot) - cpuMillis);
    this.#set(slot, FREE_MEMORY, this.freeMemory(slot) - memoryBytes);
    this.#set(slot, COUNT, this.count(slot) + 1);
    this.#changed(slot);
  }

  reserve(slots: Iterable<number>): void {
    for (const slot of slots) {
      this.#reserved.add(slot);
      this.#changed(slot);
    }
  }

  unreserve(): void {
    const slots = [...this.#reserved];
    this.#reserved.clear();
    for (const slot of slots) if (this.rows[slot] !== null) this.#changed(slot);
  }

  isReserved(slot: number): boolean {
    return this.#reserved.has(slot);
  }

  fits(slot: number, { cpuMillis, memoryBytes }: Resources): boolean {
    return this.isOpen(slot) && this.freeCpu(slot) >= cpuMillis && this.freeMemory(slot) >= memoryBytes;
  }

  /** Fewer tasks first, then by name. */
  isBefore(a: number, b: number): boolean {
    const difference = this.count(a) - this.count(b);
    if (difference !== 0) return difference < 0;
    if (this.#ranksVersion !== this.rowsVersion) this.#rank();
    return (this.#ranks[a] ?? 0) < (this.#ranks[b] ?? 0);
  }

  /** Many nodes are equally good: to compare their names each time would mean to fetch their rows. */
  #rank(): void {
    this.#ranksVersion = this.rowsVersion;
    const byName = [...this.order].sort((a, b) => (this.rowOf(a).name < this.rowOf(b).name ? -1 : 1));
    this.#ranks = new Int32Array(this.rows.length);
    for (const [rank, slot] of byName.entries()) this.#ranks[slot] = rank;
  }

  /** Whoever has seen fewer changes than that must look at every slot. */
  forgetChanges(): void {
    this.changesBegin += this.changes.length;
    this.changes = [];
  }

  #changed(slot: number): void {
    const row = this.rows[slot];
    const isFull = this.count(slot) >= limits.tasksPerNode;
    const isOpen = row !== null && row !== undefined && !isFull && closedTo(row) === null;
    this.#set(slot, IS_OPEN, isOpen && !this.#reserved.has(slot) ? 1 : 0);
    const free =
      shareOf(this.freeCpu(slot), this.capacityCpu(slot)) +
      shareOf(this.freeMemory(slot), this.capacityMemory(slot));
    this.#set(slot, SPREAD_KEY, free / 2 + this.idleness(slot));
    this.changes.push(slot);
  }

  #add(row: NodeRow): number {
    const slot = this.#vacant.pop() ?? this.rows.length;
    if (slot * FIELDS >= this.#numbers.length) this.#grow();
    this.rows[slot] = row;
    this.#slots.set(row.name, slot);
    this.#set(slot, IDLENESS, 1);
    this.#enter(slot, row);
    return slot;
  }

  #enter(slot: number, { capacity }: NodeRow): void {
    this.#set(slot, CAPACITY_CPU, capacity.cpuMillis);
    this.#set(slot, CAPACITY_MEMORY, capacity.memoryBytes);
    let low = 0;
    let high = this.order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isLeft(this.order[middle] ?? 0, slot)) low = middle + 1;
      else high = middle;
    }
    this.order.splice(low, 0, slot);
    this.rowsVersion += 1;
  }

  #remove(name: string, slot: number): void {
    this.#unorder(slot);
    this.#slots.delete(name);
    this.rows[slot] = null;
    this.#set(slot, IS_OPEN, 0);
    this.#vacant.push(slot);
    this.#reserved.delete(slot);
    this.rowsVersion += 1;
  }

  #unorder(slot: number): void {
    this.order.splice(this.order.indexOf(slot), 1);
  }

  #isLeft(a: number, b: number): boolean {
    const cpu = this.capacityCpu(a) - this.capacityCpu(b);
    const memory = this.capacityMemory(a) - this.capacityMemory(b);
    if (cpu !== 0) return cpu < 0;
    return memory === 0 ? this.rowOf(a).name < this.rowOf(b).name : memory < 0;
  }

  #field(slot: number, field: number): number {
    return this.#numbers[slot * FIELDS + field] ?? 0;
  }

  #set(slot: number, field: number, value: number): void {
    this.#numbers[slot * FIELDS + field] = value;
  }

  #grow(): void {
    const before = this.#numbers;
    this.#numbers = new Float64Array(Math.max(LEAST_NODES * FIELDS, before.length * 2));
    this.#numbers.set(before);
  }
}

export function shareOf(amount: number, whole: number): number {
  return whole > 0 ? amount / whole : 0;
}

function isMoved(before: NodeRow, after: NodeRow): boolean {
  return (
    before.capacity.cpuMillis !== after.capacity.cpuMillis ||
    before.capacity.memoryBytes !== after.capacity.memoryBytes
  );
}

/** A node that registers anew brings lists of its own, mostly with the same content. */
function sameRules(before: NodeRow, after: NodeRow): boolean {
  return rulesText(before) === rulesText(after);
}

function rulesText({ labels, drivers, policy, isolation }: NodeRow): string {
  return JSON.stringify([labels, drivers, policy, isolation]);
}
