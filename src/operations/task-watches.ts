/** Wakes those who watch a task when it has changed here: one listener on the replica for all of them. */
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Replica } from '../scheduler/ports.ts';
import { abortError, orAborted } from './waiting.ts';

export class TaskWatches {
  readonly #watches = new Map<string, Set<TaskWatch>>();
  #count = 0;

  constructor(replica: Replica) {
    replica.onApplied(({ changes }) => {
      if (this.#count === 0) return;
      for (const change of changes) {
        if (change.table === 'task') this.#wake(change.key);
      }
    });
    replica.onLeadership(({ isLeader }) => {
      if (isLeader) return;
      for (const id of this.#watches.keys()) this.#wake(id);
    });
  }

  /** @throws JarvisError too_many */
  watch(taskId: string): TaskWatch {
    if (this.#count >= limits.taskWatches) {
      throw new JarvisError('too_many', `more than ${limits.taskWatches} tasks are being watched`);
    }
    const watch = new TaskWatch(() => this.#remove(taskId, watch));
    const others = this.#watches.get(taskId) ?? new Set();
    this.#watches.set(taskId, others.add(watch));
    this.#count += 1;
    return watch;
  }

  #wake(taskId: string): void {
    for (const watch of this.#watches.get(taskId) ?? []) watch.wake();
  }

  #remove(taskId: string, watch: TaskWatch): void {
    const others = this.#watches.get(taskId);
    if (others?.delete(watch) !== true) return;
    this.#count -= 1;
    if (others.size === 0) this.#watches.delete(taskId);
  }
}

/** Changes that come while nobody waits are remembered as one. */
class TaskWatch implements Disposable {
  readonly #remove: () => void;
  #changed = false;
  #resolve: (() => void) | null = null;

  constructor(remove: () => void) {
    this.#remove = remove;
  }

  wake(): void {
    this.#changed = true;
    this.#resolve?.();
  }

  /** Resolves once something has changed since the last call. @throws JarvisError when the signal is aborted */
  async changed(signal: AbortSignal): Promise<void> {
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#resolve = resolve;
      await orAborted(promise, signal, () => abortError(signal));
      this.#resolve = null;
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#remove();
  }
}
