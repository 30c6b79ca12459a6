/**
 * Tasks by the time at which they are due: FAILED ones for their next try, PENDING ones that are not to run before.
 * Entries of the heap that no longer hold are dropped lazily.
 */
import { waitsUntilOf } from '../../model/earlier-rows.ts';
import type { TaskRow } from '../../model/task.ts';
import { Heap } from './heap.ts';

interface Timer {
  readonly dueMs: number;
  readonly taskId: string;
}

/** When it is to be queued; null: it waits for no time. */
export function dueMsOf(task: TaskRow): number | null {
  if (task.status === 'FAILED') return task.retryAtMs;
  return task.status === 'PENDING' ? waitsUntilOf(task) : null;
}

/** Stale entries that are tolerated beside as many valid ones. */
const STALE_TOLERATED = 64;

export class RetryTimers {
  readonly #heap = new Heap<Timer>(compare);
  /** The timer of each task; any other of it in the heap is stale. */
  readonly #timers = new Map<string, Timer>();

  set(taskId: string, dueMs: number): void {
    const timer = { dueMs, taskId };
    this.#timers.set(taskId, timer);
    this.#heap.push(timer);
    if (this.#heap.size > 2 * this.#timers.size + STALE_TOLERATED) {
      this.#heap.retain((one) => this.#timers.get(one.taskId) === one);
    }
  }

  delete(taskId: string): void {
    this.#timers.delete(taskId);
  }

  nextMs(): number | null {
    this.#dropStale();
    return this.#heap.top?.dueMs ?? null;
  }

  /** In the order in which they fall due; they stay until their tasks change. Costs only as far as it is read. */
  *due(atMs: number, tasks: ReadonlyMap<string, TaskRow>): Generator<TaskRow> {
    const taken: Timer[] = [];
    try {
      for (;;) {
        this.#dropStale();
        const { top } = this.#heap;
        if (top === undefined || top.dueMs > atMs) return;
        this.#heap.pop();
        taken.push(top);
        const task = tasks.get(top.taskId);
        if (task !== undefined) yield task;
      }
    } finally {
      for (const timer of taken) this.#heap.push(timer);
    }
  }

  #dropStale(): void {
    for (;;) {
      const { top } = this.#heap;
      if (top === undefined || this.#timers.get(top.taskId) === top) return;
      this.#heap.pop();
    }
  }
}

function compare(a: Timer, b: Timer): number {
  if (a.dueMs !== b.dueMs) return a.dueMs - b.dueMs;
  return a.taskId < b.taskId ? -1 : Number(a.taskId > b.taskId);
}
