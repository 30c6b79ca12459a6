/** FAILED tasks by the time at which their next try is due: a binary heap whose stale entries are dropped lazily. */
import type { TaskRow } from '../../model/task.ts';

interface Timer {
  readonly dueMs: number;
  readonly taskId: string;
}

export class RetryTimers {
  readonly #heap: Timer[] = [];
  /** What is due for each task now; a heap entry that differs is stale. */
  readonly #dueMs = new Map<string, number>();

  set(taskId: string, dueMs: number): void {
    this.#dueMs.set(taskId, dueMs);
    this.#push({ dueMs, taskId });
  }

  delete(taskId: string): void {
    this.#dueMs.delete(taskId);
    this.#dropStale();
  }

  nextMs(): number | null {
    this.#dropStale();
    return this.#heap[0]?.dueMs ?? null;
  }

  /** In the order in which they fall due; they stay until their tasks change. */
  due(atMs: number, tasks: ReadonlyMap<string, TaskRow>): readonly TaskRow[] {
    const due: Timer[] = [];
    for (;;) {
      this.#dropStale();
      const top = this.#heap[0];
      if (top === undefined || top.dueMs > atMs) break;
      due.push(top);
      this.#pop();
    }
    for (const timer of due) this.#push(timer);
    return due.flatMap(({ taskId }) => tasks.get(taskId) ?? []);
  }

  #dropStale(): void {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || this.#dueMs.get(top.taskId) === top.dueMs) return;
      this.#pop();
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
  }

  #push(timer: Timer): void {
    let at = this.#heap.length;
    this.#heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      const above = this.#heap[parent];
      if (above === undefined || before(above, timer) <= 0) break;
      this.#heap[at] = above;
      at = parent;
    }
    this.#heap[at] = timer;
  }

  #sink(timer: Timer): void {
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      const left = this.#heap[child];
      if (left === undefined) break;
      const right = this.#heap[child + 1];
      if (right !== undefined && before(right, left) < 0) child += 1;
      const smaller = this.#heap[child];
      if (smaller === undefined || before(timer, smaller) <= 0) break;
      this.#heap[at] = smaller;
      at = child;
    }
    this.#heap[at] = timer;
  }
}

function before(a: Timer, b: Timer): number {
  return a.dueMs - b.dueMs || (a.taskId < b.taskId ? -1 : 1);
}
