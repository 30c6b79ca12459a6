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

export class NodeTable {
  /** By slot; null: nobody's. */
  readonly rows: (NodeRow | null)[] = [];
  /** Slots of all nodes, by capacity, then name. */
  readonly order: number[] = [];
  readonly #slots = new Map<string, number>();
  readonly #vacant: number[] = [];
  freeCpu = new Float64Array(0);
  freeMemory = new Float64Array(0);
  capacityCpu = new Float64Array(0);
  capacityMemory = new Float64Array(0);
  /** Tasks there. */
  count = new Int32Array(0);
  /** 1: it takes work. */
  isOpen = new Uint8Array(0);
  /** 1: nothing outside keeps it busy, 0: all of it is. */
  idleness = new Float64Array(0);
  /** What `spread` orders by: the mean share that is free, and the idleness. */
  spreadKey = new Float64Array(0);
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
      this.freeCpu[slot] === freeCpu &&
      this.freeMemory[slot] === freeMemory &&
      this.count[slot] === count;
    if (isSame && known !== undefined) return;
    this.freeCpu[slot] = freeCpu;
    this.freeMemory[slot] = freeMemory;
    this.count[slot] = count;
    this.#changed(slot);
  }

  /** @param share 0 to 1 */
  setIdleness(slot: number, share: number): void {
    if (this.idleness[slot] === share) return;
    this.idleness[slot] = share;
    this.#changed(slot);
  }

  take(slot: number, { cpuMillis, memoryBytes }: Resources): void {
    this.freeCpu[slot] = (this.freeCpu[slot] ?? 0) - cpuMillis;
    this.freeMemory[slot] = (this.freeMemory[slot] ?? 0) - memoryBytes;
    this.count[slot] = (this.count[slot] ?? 0) + 1;
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
    return (
      this.isOpen[slot] === 1 &&
      (this.freeCpu[slot] ?? -1) >= cpuMillis &&
      (this.freeMemory[slot] ?? -1) >= memoryBytes
    );
  }

  /** Fewer tasks first, then by name. */
  isBefore(a: number, b: number): boolean {
    const difference = (this.count[a] ?? 0) - (this.count[b] ?? 0);
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
    const isFull = (this.count[slot] ?? 0) >= limits.tasksPerNode;
    const isOpen = row !== null && row !== undefined && !isFull && closedTo(row) === null;
    this.isOpen[slot] = isOpen && !this.#reserved.has(slot) ? 1 : 0;
    const free =
      shareOf(this.freeCpu[slot] ?? 0, this.capacityCpu[slot] ?? 0) +
      shareOf(this.freeMemory[slot] ?? 0, this.capacityMemory[slot] ?? 0);
    this.spreadKey[slot] = free / 2 + (this.idleness[slot] ?? 1);
    this.changes.push(slot);
  }

  #add(row: NodeRow): number {
    const slot = this.#vacant.pop() ?? this.rows.length;
    if (slot >= this.freeCpu.length) this.#grow();
    this.rows[slot] = row;
    this.#slots.set(row.name, slot);
    this.idleness[slot] = 1;
    this.#enter(slot, row);
    return slot;
  }

  #enter(slot: number, { capacity }: NodeRow): void {
    this.capacityCpu[slot] = capacity.cpuMillis;
    this.capacityMemory[slot] = capacity.memoryBytes;
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
    this.isOpen[slot] = 0;
    this.#vacant.push(slot);
    this.#reserved.delete(slot);
    this.rowsVersion += 1;
  }

  #unorder(slot: number): void {
    this.order.splice(this.order.indexOf(slot), 1);
  }

  #isLeft(a: number, b: number): boolean {
    const cpu = (this.capacityCpu[a] ?? 0) - (this.capacityCpu[b] ?? 0);
    const memory = (this.capacityMemory[a] ?? 0) - (this.capacityMemory[b] ?? 0);
    if (cpu !== 0) return cpu < 0;
    return memory === 0 ? this.rowOf(a).name < this.rowOf(b).name : memory < 0;
  }

  #grow(): void {
    const length = Math.max(64, this.freeCpu.length * 2);
    this.freeCpu = grown(this.freeCpu, new Float64Array(length));
    this.freeMemory = grown(this.freeMemory, new Float64Array(length));
    this.capacityCpu = grown(this.capacityCpu, new Float64Array(length));
    this.capacityMemory = grown(this.capacityMemory, new Float64Array(length));
    this.count = grown(this.count, new Int32Array(length));
    this.isOpen = grown(this.isOpen, new Uint8Array(length));
    this.idleness = grown(this.idleness, new Float64Array(length));
    this.spreadKey = grown(this.spreadKey, new Float64Array(length));
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

function grown<A extends { set(values: A): void }>(before: A, after: A): A {
  after.set(before);
  return after;
}
