/**
 * Linearizability of reads and writes of registers. Every write has its place in one log, so a history is linearizable
 * where no completed operation is overtaken: whatever begins later sees at least the entry that it saw or made.
 */
import { Violation } from './trace.ts';

export class Registers {
  /** By key: the index of the newest write that a completed operation made or saw. */
  readonly #floors = new Map<number, number>();
  /** Values that were certainly not written. */
  readonly #lost = new Set<number>();
  /** Acknowledged values and the index of their entry. */
  readonly #acknowledged = new Map<number, number>();

  /** Of an operation that begins now. */
  floor(key: number): number {
    return this.#floors.get(key) ?? 0;
  }

  wrote(key: number, value: number, index: number, floorAtBegin: number): void {
    if (index <= floorAtBegin) throw new Violation(`a write of register ${key} took place before it began`);
    this.#acknowledged.set(value, index);
    this.#raise(key, index);
  }

  read(key: number, index: number, floorAtBegin: number): void {
    if (index < floorAtBegin)
      throw new Violation(
        `stale read of register ${key}: entry ${index}, when ${floorAtBegin} was known before`,
      );
    this.#raise(key, index);
  }

  lost(value: number): void {
    this.#lost.add(value);
  }

  /** @param writtenAt where each value stands in the committed log */
  judge(writtenAt: ReadonlyMap<number, number>): void {
    for (const [value, index] of this.#acknowledged) {
      if (writtenAt.get(value) !== index)
        throw new Violation(`value ${value}, acknowledged at ${index}, is gone`);
    }
    for (const value of this.#lost) {
      if (writtenAt.has(value)) throw new Violation(`value ${value} was said to be lost, and is written`);
    }
  }

  #raise(key: number, index: number): void {
    this.#floors.set(key, Math.max(index, this.floor(key)));
  }
}
