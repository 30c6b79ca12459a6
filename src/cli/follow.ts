/**
 * Follows a task: its changes, and the output of its attempts, through outages and changes of peer. A log that breaks
 * off is read again from where it was (`log-position.ts`), so that output is complete and exact.
 */
import type { Attempt, LogsRequest, Task } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { isTerminal } from './exit-status.ts';
import { clientLimits } from './limits.ts';
import { LogPosition } from './log-position.ts';
import { backOff, isTransient } from './peers.ts';
import type { Peers } from './peers.ts';

/** The task now and after each change, until it is terminal. @throws JarvisError as {@link Peers.follow} does */
export async function* watchTask(peers: Peers, id: string, signal: AbortSignal): AsyncGenerator<Task, void> {
  for (let round = 0; ; round += 1) {
    for await (const task of peers.follow((peer, inner) => peer.watchTask({ id }, inner), signal)) {
      round = 0;
      yield task;
      if (isTerminal(task)) return;
    }
    // A node that shuts down ends its streams in good order, whatever state the task is in.
    await backOff(round, signal);
  }
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** One attempt only; 0: all from `firstAttempt` on. */
  readonly attempt: number;
  /** Attempts before this one are passed over. */
  readonly firstAttempt: number;
  readonly stream: string;
  /** Counts for attempts that had begun when following began: of later ones all is new. */
  readonly tail: number | undefined;
  /** RFC 3339 */
  readonly since: string | undefined;
  readonly onChunk: (chunk: LogChunk) => Promise<void>;
  readonly onTask: (task: Task) => Promise<void>;
  /** Something that the user should know and that ends nothing. */
  readonly onNotice: (message: string) => Promise<void>;
}

/** Delivers the output of a task's attempts in order until the task is terminal; resolves with its last state. */
export async function followTask(peers: Peers, id: string, options: FollowOptions): Promise<Task> {
  const latest = new Latest<Task>();
  const scope = new AbortController();
  const signal = AbortSignal.any([options.signal, scope.signal]);
  const watching = keepWatching(peers, id, signal, latest, options.onTask);
  // Whoever waits for the next state is told of its failure; nobody else has to.
  watching.catch(() => undefined);
  try {
    const follower = new AttemptFollower(peers, latest, options, signal);
    const task = await follower.run();
    if (options.attempt === 0) await watching;
    return task;
  } finally {
    scope.abort();
    await watching.catch(() => undefined);
  }
}

async function keepWatching(
  peers: Peers,
  id: string,
  signal: AbortSignal,
  latest: Latest<Task>,
  onTask: (task: Task) => Promise<void>,
): Promise<void> {
  try {
    for await (const task of watchTask(peers, id, signal)) {
      latest.set(task);
      await onTask(task);
    }
  } catch (error) {
    latest.fail(error);
    throw error;
  }
}

/** The newest value of something that changes, for one reader that waits for changes. */
class Latest<T> {
  #value: T | null = null;
  #error: unknown = null;
  #failed = false;
  #waiter: (() => void) | null = null;

  set(value: T): void {
    this.#value = value;
    this.#waiter?.();
  }

  fail(error: unknown): void {
    this.#error = error;
    this.#failed = true;
    this.#waiter?.();
  }

  get value(): T | null {
    return this.#value;
  }

  /** @throws the error of {@link fail} */
  check(): void {
    if (this.#failed) throw this.#error;
  }

  /** Resolves with a value other than `known`, or with `known` after `timeoutMs`. @throws the error of {@link fail} */
  async after(known: T | null, timeoutMs = 2 ** 31 - 1): Promise<T | null> {
    if (this.#value !== known) return this.#value;
    if (this.#failed) throw this.#error;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiter = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#waiter = null;
    if (this.#value === known && this.#failed) throw this.#error;
    return this.#value;
  }
}

class AttemptFollower {
  readonly #peers: Peers;
  readonly #latest: Latest<Task>;
  readonly #options: FollowOptions;
  readonly #signal: AbortSignal;
  /** Assignments rise with every attempt: those up to here have been dealt with. */
  #done = 0;
  /** The newest assignment that had begun when following began. */
  #begunAtFirst: number | null = null;

  constructor(peers: Peers, latest: Latest<Task>, options: FollowOptions, signal: AbortSignal) {
    this.#peers = peers;
    this.#latest = latest;
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<Task> {
    let task: Task | null = null;
    for (;;) {
      task = this.#latest.value === null ? await this.#latest.after(null) : this.#latest.value;
      if (task === null) continue;
      this.#begunAtFirst ??= task.attempts.findLast(hasBegun)?.assignment ?? 0;
      const next = this.#next(task);
      if (next === undefined) {
        if (isTerminal(task) || this.#isPast(task)) return task;
        await this.#latest.after(task);
        continue;
      }
      await this.#followAttempt(task.id, next);
      this.#done = next.assignment;
      if (this.#options.attempt !== 0) return this.#latest.value ?? task;
    }
  }

  /** The next attempt that executes or has executed; an attempt that ended before it began has no output. */
  #next(task: Task): Attempt | undefined {
    const { attempt, firstAttempt } = this.#options;
    return task.attempts.find(
      (candidate) =>
        candidate.assignment > this.#done &&
        (attempt === 0 ? candidate.attempt >= firstAttempt : candidate.attempt === attempt) &&
        hasBegun(candidate),
    );
  }

  /** The attempt that was asked for is over, or so old that it is no longer listed. */
  #isPast(task: Task): boolean {
    const { attempt } = this.#options;
    if (attempt === 0 || task.attempt < attempt) return false;
    const newest = task.attempts.findLast((candidate) => candidate.attempt === attempt);
    return newest === undefined || isOver(newest);
  }

  async #followAttempt(id: string, attempt: Attempt): Promise<void> {
    const position = new LogPosition(this.#request(id, attempt));
    let overSinceMs: number | null = null;
    for (let round = 0; ; round += 1) {
      try {
        // Of one that is over nothing more comes.
        if (!this.#isOver(attempt)) await position.open((request) => this.#stream(request));
        if (await this.#readOnce(position)) round = 0;
        if (await this.#endsSoon(attempt)) return;
      } catch (error) {
        if (this.#signal.aborted || !mayRecover(error)) throw error;
        this.#latest.check();
        if (this.#isOver(attempt)) {
          // An attempt that is over writes nothing more: its node is asked for a while, then the user is told.
          overSinceMs ??= performance.now();
          if (!isTransient(error) || performance.now() - overSinceMs > clientLimits.outputPatienceMs) {
            await this.#options.onNotice(
              `not all output of attempt ${attempt.attempt} can be shown: ${messageOf(error)}`,
            );
            return;
          }
        }
      }
      await backOff(round, this.#signal);
    }
  }

  /** Reads until the log ends or breaks; whether anything new came. */
  async #readOnce(position: LogPosition): Promise<boolean> {
    const request = position.resume();
    let news = false;
    for await (const chunk of this.#stream(request)) {
      const rest = position.accept(chunk);
      if (rest === null) continue;
      news = true;
      await this.#options.onChunk(rest);
    }
    return news;
  }

  /** Not Peers.follow: a log that cannot be read must not hold up a task whose node has gone for good. */
  #stream(request: LogsRequest): AsyncIterable<LogChunk> {
    return this.#peers.once((peer, inner) => peer.readLogs(request, inner), this.#signal);
  }

  /** The log's end and the word that the attempt is over travel different ways. */
  async #endsSoon(attempt: Attempt): Promise<boolean> {
    const deadline = performance.now() + clientLimits.attemptEndGraceMs;
    while (!this.#isOver(attempt)) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await this.#latest.after(this.#latest.value, leftMs);
    }
    return true;
  }

  #isOver(attempt: Attempt): boolean {
    const task = this.#latest.value;
    if (task === null) return false;
    if (isTerminal(task)) return true;
    const now = task.attempts.find((candidate) => candidate.assignment === attempt.assignment);
    return now === undefined || isOver(now);
  }

  #request(id: string, { assignment, attempt }: Attempt): LogsRequest {
    const { stream, since } = this.#options;
    const tail = assignment <= (this.#begunAtFirst ?? 0) ? this.#options.tail : undefined;
    return { id, follow: true, tail, stream, since, attempt };
  }
}

function isRunning(attempt: Attempt): boolean {
  return attempt.status === 'RUNNING';
}

function hasBegun(attempt: Attempt): boolean {
  return isRunning(attempt) || (isOver(attempt) && attempt.started_at !== undefined);
}

function isOver(attempt: Attempt): boolean {
  return !isRunning(attempt) && attempt.status !== 'ASSIGNED' && attempt.status !== 'STARTING';
}

/** The log may not be there yet, or its node may come back. */
function mayRecover(error: unknown): error is JarvisError {
  return (
    isTransient(error) ||
    (error instanceof JarvisError && (error.code === 'logs_unavailable' || error.code === 'not_found'))
  );
}
