/** What the daemon knows of the watchdog's attempts, and who waits for one to end. */
import { JarvisError } from '../../lib/errors.ts';
import type { AttemptKey, AttemptStop, AttemptView, Exit } from '../drivers/driver.ts';
import { attemptName } from './paths.ts';

interface Waiter {
  readonly resolve: (exit: Exit) => void;
  readonly reject: (error: Error) => void;
  readonly onStopping: (stop: AttemptStop) => void;
}

const RANK = { registered: 0, running: 1, ended: 2 } as const;

export class AttemptCache {
  #views = new Map<string, AttemptView>();
  readonly #waiters = new Map<string, Set<Waiter>>();

  get(key: AttemptKey): AttemptView | undefined {
    return this.#views.get(attemptName(key));
  }

  running(): readonly Extract<AttemptView, { type: 'running' }>[] {
    return [...this.#views.values()].filter((view) => view.type === 'running');
  }

  /**
   * Attempts only move forward: news that come late change nothing. They do come late, for whoever asked for an answer
   * learns it a turn after the events that arrived behind it.
   */
  learn(view: AttemptView): void {
    const name = attemptName(view);
    const known = this.#views.get(name);
    if (known !== undefined && isLate(view, known)) return;
    this.#views.set(name, view);
    if (view.type === 'running' && view.stop !== undefined)
      for (const { onStopping } of this.#waiters.get(name) ?? []) onStopping(view.stop);
    if (view.type !== 'ended') return;
    for (const { resolve } of this.#waiters.get(name) ?? []) resolve(view.exit);
    this.#waiters.delete(name);
  }

  forget(key: AttemptKey): void {
    this.#views.delete(attemptName(key));
    this.#lose(attemptName(key));
  }

  /** Keeps only what a complete list has named. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.#views.keys()) if (!names.has(name)) this.#views.delete(name);
    for (const name of this.#waiters.keys()) if (!names.has(name)) this.#lose(name);
  }

  /** @throws JarvisError `not_found` where it is not known, or no longer; the signal's reason */
  async wait(
    key: AttemptKey,
    signal: AbortSignal,
    onStopping: (stop: AttemptStop) => void = () => {},
  ): Promise<Exit> {
    signal.throwIfAborted();
    const name = attemptName(key);
    const view = this.#views.get(name);
    if (view === undefined) throw notKnown(name);
    if (view.type === 'ended') return view.exit;
    if (view.type === 'running' && view.stop !== undefined) onStopping(view.stop);
    return new Promise<Exit>((resolve, reject) => {
      const waiters = this.#waiters.get(name) ?? new Set<Waiter>();
      const abort = (): void => {
        waiters.delete(waiter);
        reject(signal.reason as Error);
      };
      const settle = (): void => signal.removeEventListener('abort', abort);
      const waiter: Waiter = {
        onStopping,
        resolve: (exit) => {
          settle();
          resolve(exit);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiters.set(name, waiters.add(waiter));
    });
  }

  failAll(error: JarvisError): void {
    for (const waiters of this.#waiters.values()) for (const { reject } of waiters) reject(error);
    this.#waiters.clear();
  }

  #lose(name: string): void {
    for (const { reject } of this.#waiters.get(name) ?? []) reject(notKnown(name));
    this.#waiters.delete(name);
  }
}

/** Nothing that `known` does not say already. Among the steps of an end each is due sooner than the one before. */
function isLate(view: AttemptView, known: AttemptView): boolean {
  if (RANK[view.type] !== RANK[known.type]) return RANK[view.type] < RANK[known.type];
  if (view.type !== 'running' || known.type !== 'running') return true;
  if (known.stop === undefined) return known.stopping && !view.stopping;
  return view.stop === undefined || view.stop.killAtMs >= known.stop.killAtMs;
}

function notKnown(name: string): JarvisError {
  return new JarvisError('not_found', `no attempt ${name} is known`);
}
