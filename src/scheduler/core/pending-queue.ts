/**
 * PENDING tasks in scheduling order: priority, then submission. A task that is queued anew (a retry, a lost attempt)
 * takes the place of its submission again. Adding at the end and taking from the front, the common cases, cost little.
 */
import { PRIORITIES, type Priority, type TaskRow } from '../../model/task.ts';

export class PendingQueue {
  readonly #lanes = new Map<Priority, Lane>(PRIORITIES.map((priority) => [priority, new Lane()]));
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(task: TaskRow): void {
    this.#lanes.get(task.priority)?.add(task);
    this.#size += 1;
  }

  remove(task: TaskRow): void {
    if (this.#lanes.get(task.priority)?.remove(task) === true) this.#size -= 1;
  }

  *[Symbol.iterator](): IterableIterator<TaskRow> {
    for (const lane of this.#lanes.values()) yield* lane;
  }
}

/** One priority's tasks, sorted by submission; removed ones leave a hole until enough of them are gathered. */
class Lane {
  #slots: (TaskRow | null)[] = [];
  /** Where each slot belongs, also that of a hole. */
  #places: Place[] = [];
  #start = 0;
  #holes = 0;

  add(task: TaskRow): void {
    const place = placeOf(task);
    const at = this.#find(place);
    const found = this.#places[at];
    if (found !== undefined && compare(found, place) === 0) {
      if (this.#slots[at] === null) this.#holes -= 1;
      this.#slots[at] = task;
      this.#start = Math.min(this.#start, at);
      return;
    }
    this.#slots.splice(at, 0, task);
    this.#places.splice(at, 0, place);
    this.#start = Math.min(this.#start, at);
  }

  remove(task: TaskRow): boolean {
    const at = this.#find(placeOf(task));
    if (this.#slots[at]?.id !== task.id) return false;
    this.#slots[at] = null;
    this.#holes += 1;
    while (this.#start < this.#slots.length && this.#slots[this.#start] === null) this.#start += 1;
    if (this.#holes > 64 && this.#holes * 2 > this.#slots.length) this.#compact();
    return true;
  }

  *[Symbol.iterator](): IterableIterator<TaskRow> {
    // A copy of the bounds only: the state does not change while a plan is made of it.
    for (let at = this.#start; at < this.#slots.length; at += 1) {
      const task = this.#slots[at];
      if (task !== null && task !== undefined) yield task;
    }
  }

  /** The first slot whose place is not before `place`. */
  #find(place: Place): number {
    let low = 0;
    let high = this.#places.length;
    const last = this.#places.at(-1);
    if (last !== undefined && compare(last, place) < 0) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#places[middle];
      if (at !== undefined && compare(at, place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compact(): void {
    this.#places = this.#places.filter((_, at) => this.#slots[at] !== null);
    this.#slots = this.#slots.filter((task) => task !== null);
    this.#start = 0;
    this.#holes = 0;
  }
}

interface Place {
  readonly index: number;
  readonly position: number;
}

function placeOf(task: TaskRow): Place {
  return { index: task.createdIndex, position: task.createdPosition };
}

function compare(a: Place, b: Place): number {
  return a.index - b.index || a.position - b.position;
}
