/**
 * Executes nothing: an attempt ends at once, or after the time that its command names. For benchmarks and simulations, and
 * for tests of what stands above the drivers. Nothing outlives the daemon.
 *
 *     ["noop"]   ["noop", "50ms"]   ["noop", "50ms", "3"]    the time, then the exit code
 */
import type { Clock } from '../../../lib/clock.ts';
import { JarvisError } from '../../../lib/errors.ts';
import type { AttemptKey, AttemptSpec, AttemptView, Driver, Exit } from '../driver.ts';
import { CHEAP_STARTS_AT_ONCE } from '../driver.ts';
import { noImages } from '../no-images.ts';

const MAX_SEEN_TASKS = 100_000;

interface NoopAttempt {
  view: AttemptView;
  cancel: () => void;
  readonly waiters: Set<(exit: Exit) => void>;
}

export class NoopDriver implements Driver {
  readonly name = 'noop';
  readonly startsAtOnce = CHEAP_STARTS_AT_ONCE;
  readonly #clock: Clock;
  readonly #attempts = new Map<string, NoopAttempt>();
  /** The highest assignment seen of a task, that of a stop or a removal included. */
  readonly #seen = new Map<string, number>();
  #session = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async open(session: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#checkSession(session);
    this.#session = session;
  }

  async start(spec: AttemptSpec, signal: AbortSignal): Promise<AttemptView> {
    signal.throwIfAborted();
    if (spec.container !== null) throw new JarvisError('invalid', noImages(this.name, spec.container));
    this.#checkSession(spec.session);
    const known = this.#attempts.get(nameOf(spec));
    if (known !== undefined) return known.view;
    if (spec.assignment <= (this.#seen.get(spec.taskId) ?? -1))
      throw new JarvisError('conflict', `${nameOf(spec)} was stopped, removed or overtaken`);
    this.#see(spec);
    const { taskId, assignment, attempt, session, term, fencingToken, isLeased } = spec;
    const startedAtMs = this.#clock.wallMs();
    const view: AttemptView = {
      type: 'running',
      taskId,
      assignment,
      attempt,
      session,
      term,
      fencingToken,
      isLeased,
      startedAtMs,
      stopping: false,
    };
    const entry: NoopAttempt = { view, cancel: () => {}, waiters: new Set() };
    this.#attempts.set(nameOf(spec), entry);
    this.#run(entry, spec);
    return entry.view;
  }

  async list(signal: AbortSignal): Promise<readonly AttemptView[]> {
    signal.throwIfAborted();
    return [...this.#attempts.values()].map(({ view }) => view);
  }

  async wait(key: AttemptKey, signal: AbortSignal): Promise<Exit> {
    signal.throwIfAborted();
    const entry = this.#attempts.get(nameOf(key));
    if (entry === undefined) throw new JarvisError('not_found', `no attempt ${nameOf(key)} is known`);
    if (entry.view.type === 'ended') return entry.view.exit;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        entry.waiters.delete(settle);
        reject(signal.reason as Error);
      };
      const settle = (exit: Exit): void => {
        signal.removeEventListener('abort', abort);
        resolve(exit);
      };
      signal.addEventListener('abort', abort, { once: true });
      entry.waiters.add(settle);
    });
  }

  async stop(
    key: AttemptKey,
    _options: { readonly graceMs: number },
    signal: AbortSignal,
  ): Promise<Exit | null> {
    signal.throwIfAborted();
    const entry = this.#attempts.get(nameOf(key));
    if (entry === undefined) {
      this.#see(key);
      return null;
    }
    this.#end(entry, { exitCode: null, signal: 'SIGTERM', reason: 'stopped', message: '' });
    return this.wait(key, signal);
  }

  async remove(key: AttemptKey, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const entry = this.#attempts.get(nameOf(key));
    if (entry !== undefined && entry.view.type !== 'ended')
      throw new JarvisError('conflict', `${nameOf(key)} has not ended, it cannot be removed`);
    if (entry !== undefined) this.#see(key);
    this.#attempts.delete(nameOf(key));
  }

  async close(): Promise<void> {
    for (const entry of this.#attempts.values()) entry.cancel();
  }

  #run(entry: NoopAttempt, { command, timeoutMs }: AttemptSpec): void {
    const plan = parseCommand(command);
    if (plan === null) {
      const message = `${JSON.stringify(command)} is not ["noop", "50ms", "3"]`;
      this.#end(entry, { exitCode: null, signal: null, reason: 'startFailed', message });
      return;
    }
    const isTimeout = timeoutMs !== null && timeoutMs < plan.durationMs;
    const ending = isTimeout
      ? ({ exitCode: null, signal: 'SIGTERM', reason: 'timeout' } as const)
      : ({ exitCode: plan.exitCode, signal: null, reason: 'exited' } as const);
    const message = isTimeout ? `ran longer than ${timeoutMs / 1000} s` : '';
    const delayMs = isTimeout ? timeoutMs : plan.durationMs;
    if (delayMs === 0) this.#end(entry, { ...ending, message });
    else entry.cancel = this.#clock.after(delayMs, () => this.#end(entry, { ...ending, message }));
  }

  #end(entry: NoopAttempt, ending: Pick<Exit, 'exitCode' | 'signal' | 'reason' | 'message'>): void {
    if (entry.view.type !== 'running') return;
    entry.cancel();
    const { startedAtMs, stopping: _stopping, type: _type, ...identity } = entry.view;
    const finishedAtMs = Math.max(startedAtMs, this.#clock.wallMs());
    const exit = { ...ending, startedAtMs, finishedAtMs, errorFile: null, resultFile: null, logTail: '' };
    entry.view = { ...identity, type: 'ended', exit };
    for (const settle of entry.waiters) settle(exit);
    entry.waiters.clear();
  }

  #see({ taskId, assignment }: AttemptKey): void {
    const highest = Math.max(assignment, this.#seen.get(taskId) ?? -1);
    this.#seen.delete(taskId);
    this.#seen.set(taskId, highest);
    if (this.#seen.size <= MAX_SEEN_TASKS) return;
    // Half of them at once: to find the first of a map takes as long as many before it were deleted.
    let left = this.#seen.size - MAX_SEEN_TASKS / 2;
    for (const oldest of this.#seen.keys()) {
      if (left === 0) return;
      left -= 1;
      this.#seen.delete(oldest);
    }
  }

  #checkSession(session: number): void {
    if (session < this.#session)
      throw new JarvisError('conflict', `session ${session} has ended, the newest is ${this.#session}`);
  }
}

function nameOf({ taskId, assignment }: AttemptKey): string {
  return `${taskId}.${assignment}`;
}

function parseCommand(command: readonly string[]): { durationMs: number; exitCode: number } | null {
  const [program, duration = '0ms', exitCode = '0', ...more] = command;
  const time = /^([0-9]{1,9})(ms|s)$/.exec(duration);
  if (program !== 'noop' || time === null || !/^[0-9]{1,3}$/.test(exitCode) || more.length > 0) return null;
  return { durationMs: Number(time[1]) * (time[2] === 's' ? 1000 : 1), exitCode: Number(exitCode) };
}
