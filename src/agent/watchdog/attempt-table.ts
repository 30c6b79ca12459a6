/** All attempts of a watchdog, and what it refuses: assignments seen before, older than one seen, or stopped before. */
import { JarvisError } from '../../lib/errors.ts';
import type { AttemptKey, AttemptSpec, AttemptView } from '../drivers/driver.ts';
import type { AttemptTools } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { WATCHDOG_LIMITS } from './limits.ts';
import { attemptName } from './paths.ts';
import type { StoredState } from './record-store.ts';

export class AttemptTable {
  readonly #tools: AttemptTools;
  readonly #onEnded: () => void;
  /** In the order in which they came, which is the order of lists. */
  readonly #byNumber = new Map<number, Attempt>();
  readonly #byTask = new Map<string, Map<number, { readonly number: number; readonly attempt: Attempt }>>();
  #lastNumber = 0;
  #active = 0;
  #closed = false;

  /** @param onEnded called after each attempt that ended */
  constructor(tools: AttemptTools, onEnded: () => void) {
    this.#tools = tools;
    this.#onEnded = onEnded;
  }

  /** Attempts of which something may still run. */
  get active(): number {
    return this.#active;
  }

  recover({ records, unreadable }: StoredState): void {
    for (const record of records) this.#add(record.view, Attempt.recover(record, this.#tools));
    for (const key of unreadable) {
      this.#tools.diagnose('the record of an attempt does not read', { ...key });
      // Such a file is what a crash of the machine left: nothing of it runs.
      const view = { ...key, type: 'registered', attempt: 0, session: 0, term: 0, fencingToken: '' } as const;
      const record = { version: 1, view, pid: null, startTicks: null, bootId: '' } as const;
      this.#add(key, Attempt.recover(record, this.#tools));
    }
  }

  /** Answers once it runs or has failed to; the same for one that is known. @throws JarvisError */
  async start(spec: AttemptSpec): Promise<AttemptView> {
    const known = this.#find(spec);
    if (known === undefined) this.#refuse(spec);
    const attempt = known ?? this.#add(spec, Attempt.start(spec, this.#tools));
    await attempt.started;
    return attempt.view;
  }

  #refuse(key: AttemptKey): void {
    const others = this.#byTask.get(key.taskId) ?? new Map<number, { attempt: Attempt }>();
    const highest = Math.max(this.#tools.store.tombstoneOf(key.taskId), ...others.keys());
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
    if (this.#closed) throw new JarvisError('unavailable', 'the watchdog is shutting down');
    if (this.#byNumber.size >= WATCHDOG_LIMITS.maxAttempts)
      throw new JarvisError('too_many', `${WATCHDOG_LIMITS.maxAttempts} attempts are known already`);
  }

  /** Returns at once; what comes of it is an event. For one that is not known it leaves a tombstone. */
  async stop(key: AttemptKey, graceMs: number): Promise<AttemptView | null> {
    const attempt = this.#find(key);
    if (attempt === undefined) {
      await this.#tools.store.addTombstone(key);
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
    const attempt = this.#find(key);
    if (attempt === undefined) return;
    if (attempt.view.type !== 'ended')
      throw new JarvisError('conflict', `${attemptName(key)} has not ended, it cannot be removed`);
    const { store } = this.#tools;
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

  #find({ taskId, assignment }: AttemptKey): Attempt | undefined {
    return this.#byTask.get(taskId)?.get(assignment)?.attempt;
  }

  #add({ taskId, assignment }: AttemptKey, attempt: Attempt): Attempt {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    this.#byNumber.set(number, attempt);
    const ofTask = this.#byTask.get(taskId) ?? new Map<number, { number: number; attempt: Attempt }>();
    this.#byTask.set(taskId, ofTask.set(assignment, { number, attempt }));
    void this.#count(attempt);
    return attempt;
  }

  async #count(attempt: Attempt): Promise<void> {
    this.#active += 1;
    await attempt.ended;
    this.#active -= 1;
    this.#onEnded();
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
