/** What this node's disk has failed in since it started: kept for `cluster status`, the first and the newest few. */
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { DiskError } from '../operations/insight.ts';
import { isStorageError } from '../raft/storage-error.ts';
import { StoreDamagedError } from '../store/errors.ts';

const KEPT = 16;

export class DiskErrors {
  readonly #clock: Pick<Clock, 'wallMs'>;
  readonly #errors: DiskError[] = [];
  #count = 0;

  constructor(clock: Pick<Clock, 'wallMs'>) {
    this.#clock = clock;
  }

  /** Takes note of a failure of storage; any other error is none of its business. The same one counts once. */
  note(error: unknown): void {
    if (isStorageError(error)) this.add(error.kind, error.path, messageOf(error));
    if (error instanceof StoreDamagedError) this.add(`state_${error.damage}`, error.path, messageOf(error));
  }

  add(kind: string, path: string, message: string): void {
    const isKnown = this.#errors.some((known) => known.kind === kind && known.message === message);
    if (isKnown) return;
    this.#count += 1;
    this.#errors.push({ kind, path, message, atMs: this.#clock.wallMs() });
    // The first is mostly the cause of the others.
    if (this.#errors.length > KEPT) this.#errors.splice(1, 1);
  }

  /** Those that are not kept among them. */
  get count(): number {
    return this.#count;
  }

  list(): readonly DiskError[] {
    return [...this.#errors];
  }
}
