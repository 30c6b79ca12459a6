/**
 * The output of a task, wherever its attempts ran: found through the leader, read from the node that has it. Following
 * goes on over broken streams, changes of leader and retries, until the task is over.
 */
import type { Attempt, LogsRequest, Node, Task } from '../generated/cluster.ts';
import type { LogChunk, ReadLogRequest } from '../generated/worker.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { isAttemptOver, isTerminal } from '../model/phases.ts';
import type { AttemptStatus, TaskStatus } from '../model/task.ts';
import { show } from '../spec/faults.ts';
import { LogPosition } from './log-position.ts';
import type { LocalLogs, Remotes } from './node-port.ts';
import type { CallContext, ClusterOperations } from './port.ts';
import { parseLogs } from './requests.ts';
import { pause, throwIfAborted } from './waiting.ts';

export interface LogSources {
  /** Asked for the task and its node; goes to the leader. */
  readonly operations: Pick<ClusterOperations, 'getTask' | 'watchTask' | 'getNode'>;
  readonly remotes: Remotes;
  readonly localLogs: LocalLogs;
  readonly clock: Clock;
  /** The node whose output `localLogs` has. */
  readonly nodeName: string;
}

/** @throws JarvisError not_found, invalid, logs_unavailable; no_leader while the task cannot be looked up */
export async function* readTaskLogs(
  sources: LogSources,
  request: LogsRequest,
  context: CallContext,
): AsyncGenerator<LogChunk, void> {
  const wanted = parseLogs(request);
  // What this node asks for its caller is not the forwarded request itself.
  const own: CallContext = { ...context, forwarded: false };
  const task = await sources.operations.getTask({ id: request.id }, own);
  const reading = new TaskReading(sources, own, { ...request, id: task.id }, wanted);
  if (request.follow) yield* reading.follow(task);
  else yield* reading.once(task);
}

/** Why a log is not to be had: what the sentence about it goes on with. */
interface Verdict {
  readonly text: string;
  readonly cause: JarvisError;
}

class TaskReading {
  readonly #sources: LogSources;
  readonly #context: CallContext;
  readonly #request: LogsRequest;
  readonly #wanted: ReturnType<typeof parseLogs>;

  constructor(
    sources: LogSources,
    context: CallContext,
    request: LogsRequest,
    wanted: ReturnType<typeof parseLogs>,
  ) {
    this.#sources = sources;
    this.#context = context;
    this.#request = request;
    this.#wanted = wanted;
  }

  async *once(task: Task): AsyncGenerator<LogChunk, void> {
    const attempt = this.#choose(task);
    if (attempt === undefined || !hasBegun(attempt)) return;
    const position = this.#position(attempt, true);
    const giveUpMs = this.#sources.clock.monotonicMs() + limits.logPatienceMs;
    yield* this.#rest(attempt, position, giveUpMs);
  }

  async *follow(first: Task): AsyncGenerator<LogChunk, void> {
    let task = first;
    const newest = this.#choose(task);
    let done = newest === undefined ? 0 : newest.assignment - 1;
    // Of what begins later all is new.
    const begunAtFirst = first.attempts.findLast(hasBegun)?.assignment ?? 0;
    let missing: JarvisError | null = null;
    for (;;) {
      task = await this.#until(
        task,
        (now) => this.#next(now, done) !== undefined || isOverFor(now, this.#request),
      );
      const attempt = this.#next(task, done);
      if (attempt === undefined) break;
      missing = null;
      try {
        yield* this.#followAttempt(task, attempt, attempt.assignment <= begunAtFirst);
      } catch (error) {
        if (!(error instanceof JarvisError) || error.code !== 'logs_unavailable') throw error;
        // Lost with its node: the next attempt, if there is one, is what the follower wants to see.
        missing = error;
      }
      done = attempt.assignment;
      if (this.#request.attempt !== 0) break;
    }
    if (missing !== null) throw missing;
  }

  /** The attempt that was asked for, or the newest. @throws JarvisError not_found */
  #choose(task: Task): Attempt | undefined {
    const { attempt, follow } = this.#request;
    if (attempt === 0) return task.attempts.at(-1);
    const chosen = task.attempts.findLast((candidate) => candidate.attempt === attempt);
    if (chosen === undefined && (!follow || attempt <= task.attempt)) {
      const kept = task.attempts.map((candidate) => candidate.attempt).join(', ');
      const message = `${task.id} has no attempt ${attempt}; there are: ${kept === '' ? 'none yet' : kept}`;
      throw new JarvisError('not_found', message);
    }
    return chosen;
  }

  /** The next attempt after an assignment that has output, or soon will; those that never began have none. */
  #next(task: Task, done: number): Attempt | undefined {
    const { attempt } = this.#request;
    return task.attempts.find(
      (candidate) =>
        candidate.assignment > done &&
        hasBegun(candidate) &&
        (attempt === 0 || candidate.attempt === attempt),
    );
  }

  async #until(task: Task, holds: (task: Task) => boolean): Promise<Task> {
    if (holds(task)) return task;
    for await (const now of this.#sources.operations.watchTask({ id: task.id }, this.#context)) {
      if (holds(now)) return now;
    }
    throwIfAborted(this.#context.signal);
    throw new JarvisError('unavailable', `the changes of ${task.id} ended early`);
  }

  /**
   * Two things end an attempt's output: its log, read to the end, and the word of the state that it is over. The log of
   * an attempt that died with its node has no end; a stream that ends may have lost its node only.
   */
  async *#followAttempt(task: Task, attempt: Attempt, hadBegun: boolean): AsyncGenerator<LogChunk, void> {
    const { clock } = this.#sources;
    const position = this.#position(attempt, hadBegun);
    using over = new AttemptEnd(this.#sources, this.#context, task, attempt);
    let delayMs: number = limits.logRetryMinMs;
    while (!over.isOver) {
      try {
        await position.open((request) => this.#there(attempt.node, request, over.signal), over.signal);
        for await (const chunk of this.#source(attempt.node, position.next(true), over.signal)) {
          if (!position.accept(chunk)) continue;
          delayMs = limits.logRetryMinMs;
          yield chunk;
        }
        await over.soon();
      } catch (error) {
        throwIfAborted(this.#context.signal);
        over.check();
        if (!isOutage(error)) throw error;
        await pause(clock, delayMs, this.#context.signal);
        delayMs = Math.min(delayMs * 2, limits.logRetryMaxMs);
      }
      over.check();
    }
    // As it ended: with the end of its output, and when that was.
    yield* this.#rest(over.attempt, position, clock.monotonicMs() + limits.logPatienceMs);
  }

  /** What there is now, to its end. @throws JarvisError logs_unavailable where the node has it no more, or is silent for so long */
  async *#rest(attempt: Attempt, position: LogPosition, giveUpMs: number): AsyncGenerator<LogChunk, void> {
    const { clock } = this.#sources;
    const { signal } = this.#context;
    const [first, second] = placesOf(attempt);
    let place = first;
    /** Why the node that should have it does not give it. */
    let verdict: Verdict | null = null;
    let delayMs: number = limits.logRetryMinMs;
    for (;;) {
      try {
        const request = { ...position.next(false), ended_ms: optionalTimeMs(attempt.finished_at) };
        for await (const chunk of this.#source(place, request, signal)) {
          if (position.accept(chunk)) yield chunk;
        }
        return;
      } catch (error) {
        throwIfAborted(signal);
        const found = await this.#verdict(place, error, clock.monotonicMs() + delayMs >= giveUpMs);
        verdict ??= found;
        if (found !== null && place === first && second !== undefined) {
          place = second;
          continue;
        }
        if (found !== null && verdict !== null) yield* this.#instead(attempt, position, verdict);
      }
      await pause(clock, delayMs, signal);
      delayMs = Math.min(delayMs * 2, limits.logRetryMaxMs);
    }
  }

  /** Null where the node is to be asked again. @throws the error, where it is not about the log being there */
  async #verdict(place: string, error: unknown, isLast: boolean): Promise<Verdict | null> {
    if (isGone(error)) return { text: `was on node ${place}, ${error.message}`, cause: error };
    if (!isOutage(error)) throw error;
    const node = await this.#node(place);
    if (node === null) return { text: `is on node ${place}, which has left the cluster`, cause: error };
    if (node.status === 'OFFLINE' || isLast) return { text: `is on node ${describe(node)}`, cause: error };
    return null;
  }

  /** What the cluster keeps of a failed attempt's output, and then the error that says so. */
  async *#instead(
    attempt: Attempt,
    position: LogPosition,
    { text, cause }: Verdict,
  ): AsyncGenerator<LogChunk, never> {
    const tail = Buffer.from(attempt.log_tail);
    const shown = position.atStart && tail.length > 0;
    if (shown) {
      const at = attempt.finished_at ?? attempt.started_at;
      yield { stream: 'stdout', at_ms: at === undefined ? 0 : Date.parse(at), data: tail };
    }
    const handed = attempt.log_node === undefined ? '' : `; node ${attempt.node} has handed it over`;
    const note = shown ? `; shown are the last ${tail.length} bytes, which the cluster keeps` : '';
    const message = `the output of attempt ${attempt.attempt} of ${this.#request.id} ${text}${handed}${note}`;
    throw new JarvisError('logs_unavailable', message, { cause });
  }

  /** What a log that is being written has so far: nothing where it is not there yet. */
  async *#there(place: string, request: ReadLogRequest, signal: AbortSignal): AsyncGenerator<LogChunk, void> {
    try {
      yield* this.#source(place, request, signal);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  async *#source(
    place: string,
    request: ReadLogRequest,
    signal: AbortSignal,
  ): AsyncGenerator<LogChunk, void> {
    const { nodeName, localLogs, remotes } = this.#sources;
    if (place === nodeName) {
      yield* localLogs.read(request, signal);
      return;
    }
    const node = await this.#node(place);
    if (node === null) throw new JarvisError('unavailable', `there is no node ${show(place)}`);
    yield* remotes.readLog(node.address, request, { ...this.#context, signal });
  }

  async #node(name: string): Promise<Node | null> {
    try {
      return await this.#sources.operations.getNode({ name }, this.#context);
    } catch (error) {
      if (error instanceof JarvisError && error.code === 'not_found') return null;
      throw error;
    }
  }

  #position(attempt: Attempt, withTail: boolean): LogPosition {
    return new LogPosition({
      task_id: this.#request.id,
      assignment: attempt.assignment,
      follow: false,
      ...this.#wanted,
      tail: withTail ? this.#wanted.tail : undefined,
    });
  }
}

/** Where its output should be, and where it may be still. */
function placesOf({ node, log_node: holder }: Attempt): readonly [string, string?] {
  return holder === undefined ? [node] : [holder, node];
}

/** Watches the state for the end of one attempt. */
class AttemptEnd implements Disposable {
  readonly #clock: Clock;
  readonly #scope = new AbortController();
  /** Aborted a little after the end: a log that has not ended by then never will. */
  readonly #stragglers = new AbortController();
  /** Ends the watch. */
  readonly #watchSignal: AbortSignal;
  /** Ends the reading of the attempt's log. */
  readonly signal: AbortSignal;
  /** Resolved at the end of the attempt, or of the watch. */
  readonly #settled = Promise.withResolvers<void>();
  #isOver: boolean;
  /** As it was seen last. */
  #attempt: Attempt;
  #failure: unknown = null;

  constructor(sources: LogSources, context: CallContext, task: Task, attempt: Attempt) {
    this.#clock = sources.clock;
    this.#watchSignal = AbortSignal.any([context.signal, this.#scope.signal]);
    this.signal = AbortSignal.any([context.signal, this.#stragglers.signal]);
    this.#attempt = attempt;
    this.#isOver = hasEnded(task, attempt);
    if (!this.#isOver) void this.#watch(sources, { ...context, signal: this.#watchSignal }, task.id, attempt);
  }

  get attempt(): Attempt {
    return this.#attempt;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** @throws what ended the watch, where that was not the end of the attempt */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** The end of the log and the word of the end travel different ways: gives the word time to arrive. */
  async soon(): Promise<void> {
    await pause(this.#clock, limits.attemptEndGraceMs, this.#watchSignal, (wake) => {
      void this.#settled.promise.then(wake);
      return () => undefined;
    });
  }

  [Symbol.dispose](): void {
    this.#scope.abort();
  }

  /** Never rejects: a failure is kept for {@link check}. */
  async #watch(sources: LogSources, context: CallContext, id: string, attempt: Attempt): Promise<void> {
    try {
      for await (const task of sources.operations.watchTask({ id }, context)) {
        this.#attempt = sameAttempt(task, attempt) ?? this.#attempt;
        this.#isOver = hasEnded(task, attempt);
        if (this.#isOver) break;
      }
      if (!this.#isOver) throw new JarvisError('unavailable', `the changes of ${id} ended early`);
      this.#settled.resolve();
      await pause(this.#clock, limits.attemptEndGraceMs, this.#watchSignal);
    } catch (error) {
      if (!this.#isOver) this.#failure = error;
    } finally {
      this.#settled.resolve();
      this.#stragglers.abort();
    }
  }
}

function hasEnded(task: Task, attempt: Attempt): boolean {
  if (isTerminal(task.status as TaskStatus)) return true;
  const now = sameAttempt(task, attempt);
  return now === undefined || isAttemptOver(now.status as AttemptStatus);
}

function sameAttempt(task: Task, attempt: Attempt): Attempt | undefined {
  return task.attempts.find((candidate) => candidate.assignment === attempt.assignment);
}

function hasBegun(attempt: Attempt): boolean {
  return attempt.status === 'RUNNING' || attempt.started_at !== undefined;
}

/** Nothing more will come for the request. */
function isOverFor(task: Task, { attempt }: LogsRequest): boolean {
  return isTerminal(task.status as TaskStatus) || (attempt !== 0 && task.attempt > attempt);
}

/** The node may come back. */
function isOutage(error: unknown): error is JarvisError {
  return error instanceof JarvisError && (error.code === 'unavailable' || error.code === 'timeout');
}

/** The node that should have it says that it has it no more. */
function isGone(error: unknown): error is JarvisError {
  return error instanceof JarvisError && error.code === 'logs_unavailable';
}

function optionalTimeMs(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

function describe(node: Node): string {
  const since = node.last_heartbeat_at === undefined ? '' : `, last heard of at ${node.last_heartbeat_at}`;
  const state = node.status === 'OFFLINE' ? 'is OFFLINE' : 'does not answer';
  return `${node.name} (${node.address}), which ${state}${since}`;
}
