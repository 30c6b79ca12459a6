/**
 * PENDING tasks in scheduling order: priority, then submission. A task that is queued anew (a retry, a lost attempt)
 * takes the place of its submission again. Within a priority, tasks of the same request stand in a bucket of their own,
 * so that a planner for whom a request is hopeless passes over all of them at once.
 */
import { invariant } from '../../lib/assert.ts';
import type { Priority, TaskRow } from '../../model/task.ts';
import { PRIORITIES } from '../../model/task.ts';
import { Heap } from './heap.ts';
import type { TaskRequest } from './request.ts';
import { requestKey, requestOf } from './request.ts';

/** Whether nothing of such a request need be looked at. */
export type SkipRequest = (request: TaskRequest) => boolean;
/** Whether neither the task nor any other of its batch or DAG need be looked at. */
export type SkipGroup = (task: TaskRow) => boolean;

const skipNone: SkipGroup = () => false;

export class PendingQueue {
  readonly #lanes = new Map<Priority, Map<string, Bucket>>(
    PRIORITIES.map((priority) => [priority, new Map()]),
  );
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param sinceMs since when it could run; of no meaning for the order */
  add(task: TaskRow, sinceMs: number): void {
    const lane = this.#lanes.get(task.priority);
    const key = requestKey(task);
    let bucket = lane?.get(key);
    if (bucket === undefined) {
      bucket = new Bucket(requestOf(task));
      lane?.set(key, bucket);
    }
    if (bucket.add(task, sinceMs)) this.#size += 1;
  }

  /** @returns since when it could run; null: it was not there */
  remove(task: TaskRow): number | null {
    const lane = this.#lanes.get(task.priority);
    const key = requestKey(task);
    const bucket = lane?.get(key);
    const sinceMs = bucket?.remove(task) ?? null;
    if (bucket === undefined || sinceMs === null) return null;
    this.#size -= 1;
    if (bucket.isEmpty) lane?.delete(key);
    return sinceMs;
  }

  /** What there is of each request and priority, in no order that matters. Costs as much as there are of these. */
  *requests(): Generator<QueuedRequest> {
    for (const lane of this.#lanes.values()) for (const bucket of lane.values()) yield bucket.summary();
  }

  /** From 1; null: it is not there. Costs as much as there is of its priority. */
  positionOf(task: TaskRow): number | null {
    if (this.#lanes.get(task.priority)?.get(requestKey(task))?.has(task) !== true) return null;
    let position = 1;
    for (const [priority, lane] of this.#lanes) {
      for (const bucket of lane.values())
        position += priority === task.priority ? bucket.countBefore(task) : bucket.size;
      if (priority === task.priority) break;
    }
    return position;
  }

  /**
   * The queue must not change meanwhile. Both are asked again before each task. A group is one entry of the log, so that
   * in each bucket its tasks stand together, and are passed over at once however many they are.
   */
  *tasks(skip: SkipRequest, skipGroup: SkipGroup = skipNone): Generator<TaskRow> {
    for (const lane of this.#lanes.values()) {
      const cursors = [...lane.values()].map((bucket) => new Cursor(bucket));
      const heap = new Heap<Cursor>((a, b) => comparePlaces(a.task, b.task), cursors);
      for (;;) {
        const cursor = heap.top;
        if (cursor === undefined) break;
        if (skip(cursor.bucket.request)) {
          heap.pop();
          continue;
        }
        let isLeft: boolean;
        if (skipGroup(cursor.task)) isLeft = cursor.leaveEntry();
        else {
          yield cursor.task;
          isLeft = cursor.advance();
        }
        if (isLeft) heap.topChanged();
        else heap.pop();
      }
    }
  }
}

type Place = Pick<TaskRow, 'createdIndex' | 'createdPosition'>;

function comparePlaces(a: Place, b: Place): number {
  return a.createdIndex - b.createdIndex || a.createdPosition - b.createdPosition;
}

/** Tasks of one request and priority. */
export interface QueuedRequest {
  readonly request: TaskRequest;
  /** The one that would be placed first. */
  readonly first: TaskRow;
  readonly count: number;
  /** Sum of the times since when each could run. */
  readonly sinceSumMs: number;
  /** When the first of them could. A task that is queued anew stands where it stood, so another may wait for longer. */
  readonly firstSinceMs: number;
}

/** A slot keeps its place in the order also where its task has been taken out of it. */
interface Slot extends Place {
  task: TaskRow | null;
  sinceMs: number;
}

/**
 * Tasks of one request, sorted by submission. Adding at the end and taking from the front, the common cases, cost
 * little; removed ones leave holes until enough of them are gathered.
 */
class Bucket {
  readonly request: TaskRequest;
  #slots: Slot[] = [];
  /** Before it are only holes. */
  #start = 0;
  #holes = 0;
  #sinceSumMs = 0;

  constructor(request: TaskRequest) {
    this.request = request;
  }

  get isEmpty(): boolean {
    return this.#holes === this.#slots.length;
  }

  summary(): QueuedRequest {
    const first = this.next(0);
    invariant(first !== null, 'empty buckets are removed');
    return {
      request: this.request,
      first: first.task,
      count: this.size,
      sinceSumMs: this.#sinceSumMs,
      firstSinceMs: this.#slots[first.after - 1]?.sinceMs ?? 0,
    };
  }

  /** @returns whether it was not there already */
  add(task: TaskRow, sinceMs: number): boolean {
    const at = this.#find(task);
    const slot = this.#slots[at];
    this.#start = Math.min(this.#start, at);
    if (slot === undefined || comparePlaces(slot, task) !== 0) {
      const { createdIndex, createdPosition } = task;
      this.#slots.splice(at, 0, { createdIndex, createdPosition, task, sinceMs });
      this.#sinceSumMs += sinceMs;
      return true;
    }
    const isNew = slot.task === null;
    if (isNew) this.#holes -= 1;
    this.#sinceSumMs += sinceMs - (isNew ? 0 : slot.sinceMs);
    slot.task = task;
    slot.sinceMs = sinceMs;
    return isNew;
  }

  get size(): number {
    return this.#slots.length - this.#holes;
  }

  has(task: TaskRow): boolean {
    return this.#slots[this.#find(task)]?.task?.id === task.id;
  }

  countBefore(task: Place): number {
    const end = this.#find(task);
    let count = 0;
    for (let at = this.#start; at < end; at += 1) if (this.#slots[at]?.task !== null) count += 1;
    return count;
  }

  /** @returns since when it could run; null: it was not there */
  remove(task: TaskRow): number | null {
    const slot = this.#slots[this.#find(task)];
    if (slot?.task?.id !== task.id) return null;
    slot.task = null;
    this.#sinceSumMs -= slot.sinceMs;
    this.#holes += 1;
    while (this.#start < this.#slots.length && this.#slots[this.#start]?.task === null) this.#start += 1;
    if (this.#holes > 64 && this.#holes * 2 > this.#slots.length) {
      this.#slots = this.#slots.filter((one) => one.task !== null);
      this.#start = 0;
      this.#holes = 0;
    }
    return slot.sinceMs;
  }

  /** The first task at or after a slot, and the slot after it. */
  next(from: number): { readonly task: TaskRow; readonly after: number } | null {
    for (let at = Math.max(from, this.#start); at < this.#slots.length; at += 1) {
      const task = this.#slots[at]?.task;
      if (task !== null && task !== undefined) return { task, after: at + 1 };
    }
    return null;
  }

  /** The slot after the last one of the entry. */
  endOf({ createdIndex }: Place): number {
    return this.#find({ createdIndex: createdIndex + 1, createdPosition: 0 });
  }

  /** The first slot whose place is not before that of `task`. */
  #find(task: Place): number {
    let low = 0;
    let high = this.#slots.length;
    const last = this.#slots.at(-1);
    if (last !== undefined && comparePlaces(last, task) < 0) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const slot = this.#slots[middle];
      if (slot !== undefined && comparePlaces(slot, task) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Where a walk stands in a bucket. */
class Cursor {
  readonly bucket: Bucket;
  task: TaskRow;
  #after: number;

  constructor(bucket: Bucket) {
    const first = bucket.next(0);
    invariant(first !== null, 'empty buckets are removed');
    this.bucket = bucket;
    this.task = first.task;
    this.#after = first.after;
  }

  /** @returns false at the end of the bucket */
  advance(): boolean {
    return this.#goOn(this.#after);
  }

  /** Past all of the entry that the task came with. @returns false at the end of the bucket */
  leaveEntry(): boolean {
    return this.#goOn(this.bucket.endOf(this.task));
  }

  #goOn(from: number): boolean {
    const next = this.bucket.next(from);
    if (next === null) return false;
    this.task = next.task;
    this.#after = next.after;
    return true;
  }
}
