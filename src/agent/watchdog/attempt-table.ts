/** All attempts of a watchdog or driver, and what it refuses: assignments seen before, older than one seen, or stopped before. */
import { JarvisError } from '../../lib/errors.ts';
import type { AttemptKey, AttemptSpec, AttemptView } from '../drivers/driver.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { attemptName } from './paths.ts';

/** What the table needs of an attempt. */
export interface TableAttempt {
  readonly view: AttemptView;
  /** Resolves once it runs or has ended. */
  readonly started: Promise<void>;
  /** Resolves once nothing of it runs and that is on disk. */
  readonly ended: Promise<void>;
  stop(graceMs: number): void;
}

/** {@link RecordStore} has these. */
interface Tombstones {
  tombstoneOf(taskId: string): number;
  addTombstone(key: AttemptKey): Promise<void>;
  removeRecord(key: AttemptKey): Promise<void>;
}

export interface AttemptTableOptions<A> {
  readonly store: Tombstones;
  readonly start: (spec: AttemptSpec) => A;
  /** Called after each attempt that ended. */
  readonly onEnded: () => void;
}

export class AttemptTable<A extends TableAttempt> {
  readonly #options: AttemptTableOptions<A>;
  /** In the order in which they came, which is the order of lists. */
  readonly #byNumber = new Map<number, A>();
  readonly #byTask = new Map<string, Map<number, { readonly number: number; readonly attempt: A }>>();
  #lastNumber = 0;
  #active = 0;
  #closed = false;

  constructor(options: AttemptTableOptions<A>) {
    this.#options = options;
  }

  /** Attempts of which something may still run. */
  get active(): number {
    return this.#active;
  }

  /** One that an earlier process left behind. */
  adopt(attempt: A): void {
    this.#add(attempt.view, attempt);
  }

  all(): Iterable<A> {
    return this.#byNumber.values();
  }

  /** Answers once it runs or has failed to; the same for one that is known. @throws JarvisError */
  async start(spec: AttemptSpec): Promise<AttemptView> {
    const known = this.find(spec);
    if (known === undefined) this.#refuse(spec);
    const attempt = known ?? this.#add(spec, this.#options.start(spec));
    await attempt.started;
    return attempt.view;
  }

  #refuse(key: AttemptKey): void {
    const others = this.#byTask.get(key.taskId) ?? new Map<number, { attempt: A }>();
    const highest = Math.max(this.#options.store.tombstoneOf(key.taskId), ...others.keys());
    if (key.assignment <= highest)
      throw new JarvisError(
        'conflict',
        `${attemptName(key)} was stopped, removed or overtaken by ${highest}`,
      );
    for (const { attempt } of others.values())
      if (attempt.view.type !== 'ended')
        throw new JarvisError(
          'conflict',
          `${attemptName(attempt.view)} still runs, ${attemptName(key)} must not`,
        );
    if (this.#closed) throw new JarvisError('unavailable', 'it is shutting down');
    if (this.#byNumber.size >= WATCHDOG_LIMITS.maxAttempts)
      throw new JarvisError('too_many', `${WATCHDOG_LIMITS.maxAttempts} attempts are known already`);
  }

  /** Returns at once; what comes of it is an event. For one that is not known it leaves a tombstone. */
  async stop(key: AttemptKey, graceMs: number): Promise<AttemptView | null> {
    const attempt = this.find(key);
    if (attempt === undefined) {
      await this.#options.store.addTombstone(key);
      return null;
    }
    attempt.stop(graceMs);
    return attempt.view;
  }

  /** A page of bounded size, and where the next begins. */
  list(after: number | null): { readonly attempts: readonly AttemptView[]; readonly next: number | null } {
    const attempts: AttemptView[] = [];
    let bytes = 0;
    for (const [number, { view }] of this.#byNumber) {
      if (after !== null && number <= after) continue;
      attempts.push(view);
      bytes += JSON.stringify(view).length;
      if (bytes >= WATCHDOG_LIMITS.maxListPageBytes) return { attempts, next: number };
    }
    return { attempts, next: null };
  }

  /** @throws JarvisError `conflict` where it has not ended */
  async remove(key: AttemptKey): Promise<void> {
    const attempt = this.find(key);
    if (attempt === undefined) return;
    if (attempt.view.type !== 'ended')
      throw new JarvisError('conflict', `${attemptName(key)} has not ended, it cannot be removed`);
    const { store } = this.#options;
    await store.addTombstone(key);
    await store.removeRecord(key);
    this.#delete(key);
  }

  /** Starts nothing any more. */
  close(): void {
    this.#closed = true;
  }

  stopAll(graceMs: number): void {
    for (const attempt of this.#byNumber.values()) attempt.stop(graceMs);
  }

  find({ taskId, assignment }: AttemptKey): A | undefined {
    return this.#byTask.get(taskId)?.get(assignment)?.attempt;
  }

  #add({ taskId, assignment }: AttemptKey, attempt: A): A {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    this.#byNumber.set(number, attempt);
    const ofTask = this.#byTask.get(taskId) ?? new Map<number, { number: number; attempt: A }>();
    this.#byTask.set(taskId, ofTask.set(assignment, { number, attempt }));
    void this.#count(attempt);
    return attempt;
  }

  async #count(attempt: A): Promise<void> {
    this.#active += 1;
    await attempt.ended;
    this.#active -= 1;
    this.#options.onEnded();
  }

  #delete({ taskId, assignment }: AttemptKey): void {
    const ofTask = this.#byTask.get(taskId);
    const entry = ofTask?.get(assignment);
    if (entry === undefined) return;
    this.#byNumber.delete(entry.number);
    ofTask?.delete(assignment);
    if (ofTask?.size === 0) this.#byTask.delete(taskId);
  }
}
