/**
 * The daemon's side of the watchdog: starts it where there is none, connects again when the connection breaks, and repeats
 * requests that a broken connection may have swallowed (every one of them is idempotent) until their deadline.
 */
import { mkdir } from 'node:fs/promises';
import { resolve as resolvePath } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { AttemptKey, AttemptSpec, AttemptStop, AttemptView, Exit } from '../drivers/driver.ts';
import { AttemptCache } from './attempt-cache.ts';
import { WatchdogConnection } from './connection.ts';
import { isErrno } from '../../lib/errno.ts';
import type { LaunchedWatchdog } from './launch.ts';
import { launchWatchdog } from './launch.ts';
import { leaseFile, recordedDeadline } from './lease.ts';
import type { LogLimits } from './limits.ts';
import { DEFAULT_IDLE_EXIT_MS, DEFAULT_LOG_LIMITS, WATCHDOG_LIMITS } from './limits.ts';
import { ageMs, holds, lockHolder } from './lock-holder.ts';
import type { OutputCounts } from './output-counters.ts';
import { attemptName, watchdogDirectory } from './paths.ts';
import { signalProcess } from './containment.ts';
import { readBootId } from './processes.ts';
import type { Answers, RequestBody } from './protocol.ts';
import { LEASE_PROTOCOL, PROTOCOL } from './protocol.ts';
import { readSession } from './record-store.ts';

export interface WatchdogClientOptions {
  readonly dataDirectory: string;
  readonly log: Log;
  readonly idleExitMs?: number;
  readonly logLimits?: LogLimits;
  readonly requestTimeoutMs?: number;
  /** False: attempts are kept apart without control groups, even where there are some. */
  readonly useCgroups?: boolean;
}

/** Connected, told the session, and its list read. */
interface Link {
  /** That both speak. */
  readonly protocol: number;
  readonly connection: WatchdogConnection;
  readonly watchdogPid: number;
}

const FIRST_PAUSE_MS = 10;
const MAX_PAUSE_MS = 500;

export class WatchdogClient {
  readonly #dataDirectory: string;
  readonly #options: WatchdogClientOptions;
  readonly #log: Log;
  readonly #cache = new AttemptCache();
  readonly #closing = new AbortController();
  /** What attaching reads; null: nobody has attached. */
  #recordedSession: Promise<number> | null = null;
  #session: number | null = null;
  #link: Promise<Link> | null = null;
  #connection: WatchdogConnection | null = null;
  #launched: LaunchedWatchdog | null = null;
  #pending = 0;
  #shutDown = false;

  constructor(options: WatchdogClientOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#dataDirectory = resolvePath(options.dataDirectory);
  }

  /** Begins a session; resolves once the watchdog has it on disk. @throws JarvisError `conflict` for an older one */
  async open(session: number, signal: AbortSignal): Promise<void> {
    if (this.#session !== null && session < this.#session)
      throw new JarvisError('conflict', `session ${session} has ended, the newest is ${this.#session}`);
    if (session !== this.#session) {
      this.#session = session;
      // What is under way belongs to the session before, and shall be refused or repeated as such.
      this.#link = null;
      this.#connection?.destroy();
    }
    await this.#within(WATCHDOG_LIMITS.launchTimeoutMs, signal, () => this.#linked());
  }

  /**
   * Sees to it that a watchdog watches what an earlier start of the daemon left, also while no session is granted: without
   * a quorum there may be none for long. In the session that it was told last, in which nothing new is started.
   */
  async attach(): Promise<void> {
    this.#recordedSession = readSession(watchdogDirectory(this.#dataDirectory));
    const session = await this.#recordedSession;
    if (this.#session !== null) return;
    // Nothing is left to watch: but one is needed soon, and takes its time.
    if (session === 0) return this.#launch();
    this.#session = session;
    await this.#linked();
    return undefined;
  }

  /** Kills the watchdog where it is stopped or hangs; another takes its place, and ends what this one has left. */
  async replaceHung(timeoutMs: number): Promise<void> {
    const holder = await lockHolder(watchdogDirectory(this.#dataDirectory));
    // Asked for while that is read, it would find no session to ask in, and nobody asks again. Whoever attaches hears of
    // its failure, and there is no session then either.
    await this.#recordedSession?.catch(() => 0);
    const session = this.#session;
    if (session === null || holder === null) return;
    // One that has only just begun reads its records first.
    const patienceMs = Math.max(timeoutMs, WATCHDOG_LIMITS.beginMs - ageMs(holder));
    try {
      await this.#within(patienceMs, this.#closing.signal, (leftMs) =>
        this.#requestUntil({ type: 'ping', session }, leftMs),
      );
      return;
    } catch (error) {
      if (!(error instanceof JarvisError) || error.code !== 'timeout') return;
    }
    if (!holds(holder)) return;
    this.#log.error({ watchdogPid: holder.pid }, 'the watchdog does not answer: it is killed');
    signalProcess(holder.pid, 'SIGKILL');
    this.#connection?.destroy();
  }

  async recordedDeadlineMs(): Promise<number | null> {
    return recordedDeadline(leaseFile(watchdogDirectory(this.#dataDirectory)), readBootId());
  }

  /** Resolves once the watchdog has the deadline on disk. */
  async extendLease(session: number, deadlineMs: number, signal: AbortSignal): Promise<void> {
    if (session !== this.#session) await this.open(session, signal);
    if (!(await this.#keepsLeases(signal))) return;
    await this.#request({ type: 'lease', session, deadlineMs }, signal);
  }

  /** Resolves once the watchdog ends what will be in that group with the lease. @throws JarvisError as {@link Guards.guard} */
  async guard(
    { taskId, assignment, session }: AttemptKey & { readonly session: number },
    { cgroup, isLeased }: { readonly cgroup: string; readonly isLeased: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    if (!(await this.#keepsLeases(signal))) return;
    await this.#request({ type: 'guard', session, taskId, assignment, cgroup, isLeased }, signal);
  }

  /** Whether it has ended what was in the group because the lease was over. */
  async isGuardOver({ taskId, assignment }: AttemptKey, signal: AbortSignal): Promise<boolean> {
    const session = this.#currentSession();
    if (!(await this.#keepsLeases(signal))) return false;
    return (await this.#request({ type: 'isGuardOver', session, taskId, assignment }, signal)).isOver;
  }

  /** Nothing can come into the group any more. */
  async release({ taskId, assignment }: AttemptKey, signal: AbortSignal): Promise<void> {
    const session = this.#currentSession();
    if (!(await this.#keepsLeases(signal))) return;
    await this.#request({ type: 'release', session, taskId, assignment }, signal);
  }

  /** One from before there were leases keeps none: then the daemon alone ends what must end. */
  async #keepsLeases(signal: AbortSignal): Promise<boolean> {
    const { protocol } = await this.#within(this.#timeoutMs, signal, () => this.#linked());
    return protocol >= LEASE_PROTOCOL;
  }

  async start(spec: AttemptSpec, signal: AbortSignal): Promise<AttemptView> {
    const { attempt } = await this.#request({ type: 'start', session: spec.session, spec }, signal);
    this.#cache.learn(attempt);
    return this.#cache.get(attempt) ?? attempt;
  }

  /** Every attempt in every state, read from the watchdog. */
  async list(signal: AbortSignal): Promise<readonly AttemptView[]> {
    const attempts: AttemptView[] = [];
    const session = this.#currentSession();
    for (let after: number | null = null; ;) {
      const page: Answers['list'] = await this.#request({ type: 'list', session, after }, signal);
      attempts.push(...page.attempts);
      // Whoever waits for what was listed waits for its end, also where the answer to its start has not come yet.
      for (const attempt of page.attempts) this.#cache.learn(attempt);
      if (page.next === null) return attempts;
      after = page.next;
    }
  }

  /** From what this daemon was told; nothing is asked. */
  running(): readonly Extract<AttemptView, { type: 'running' }>[] {
    return this.#cache.running();
  }

  async wait(key: AttemptKey, signal: AbortSignal, onStopping?: (stop: AttemptStop) => void): Promise<Exit> {
    if (this.#cache.get(key) === undefined) await this.#within(this.#timeoutMs, signal, () => this.#linked());
    return this.#cache.wait(key, signal, onStopping);
  }

  async stop(key: AttemptKey, graceMs: number, signal: AbortSignal): Promise<Exit | null> {
    const session = this.#currentSession();
    const { taskId, assignment } = key;
    const { attempt } = await this.#request({ type: 'stop', session, taskId, assignment, graceMs }, signal);
    if (attempt === null) return null;
    this.#cache.learn(attempt);
    return this.#cache.wait(key, signal);
  }

  async remove({ taskId, assignment }: AttemptKey, signal: AbortSignal): Promise<void> {
    await this.#request({ type: 'remove', session: this.#currentSession(), taskId, assignment }, signal);
    this.#cache.forget({ taskId, assignment });
  }

  /**
   * Asks it to leave once no attempt is left, which `killAll` brings about at once: then this resolves when it has left.
   * This client does not start it again.
   */
  async shutdown({ killAll }: { readonly killAll: boolean }, signal: AbortSignal): Promise<void> {
    this.#shutDown = true;
    // Nothing was asked of it yet, so it runs nothing of this daemon's.
    if (this.#session === null) return;
    const session = this.#session;
    await this.#request({ type: 'shutdown', session, killAll }, signal);
    const connection = this.#connection;
    if (killAll && connection !== null) await this.#within(this.#timeoutMs, signal, () => connection.closed);
  }

  /** What the watchdog has counted since it started; null: it counts nothing, or there may be none. */
  async output(signal: AbortSignal): Promise<OutputCounts | null> {
    const session = this.#session;
    if (session === null || this.#shutDown) return null;
    return (await this.#request({ type: 'ping', session }, signal)).output ?? null;
  }

  /** The process that the connection leads to. */
  async watchdogPid(signal: AbortSignal): Promise<number> {
    return (await this.#within(this.#timeoutMs, signal, () => this.#linked())).watchdogPid;
  }

  /** The watchdog and its attempts live on. */
  async close(): Promise<void> {
    const error = new JarvisError('unavailable', 'the watchdog client is closed');
    this.#closing.abort(error);
    this.#connection?.destroy();
    await this.#connection?.closed;
    this.#cache.failAll(error);
  }

  get #timeoutMs(): number {
    return this.#options.requestTimeoutMs ?? WATCHDOG_LIMITS.requestTimeoutMs;
  }

  #currentSession(): number {
    if (this.#session === null) throw new JarvisError('unavailable', 'no session has begun');
    return this.#session;
  }

  async #request<Body extends RequestBody>(body: Body, signal: AbortSignal): Promise<Answers[Body['type']]> {
    if (this.#pending >= WATCHDOG_LIMITS.maxPendingRequests)
      throw new JarvisError('too_many', `${this.#pending} requests wait for the watchdog`);
    this.#pending += 1;
    try {
      return await this.#within(this.#timeoutMs, signal, (leftMs) => this.#requestUntil(body, leftMs));
    } finally {
      this.#pending -= 1;
    }
  }

  /** Repeats it over new connections; whoever waits for it has a deadline. */
  async #requestUntil<Body extends RequestBody>(
    body: Body,
    leftMs: () => number,
  ): Promise<Answers[Body['type']]> {
    for (;;) {
      const { connection } = await this.#linked();
      try {
        return await connection.request(body, Math.max(1, leftMs()));
      } catch (error) {
        // Broken, or a watchdog that is leaving: another follows, unless this client sent it away.
        const mayRepeat = error instanceof JarvisError && error.code === 'unavailable';
        if (!mayRepeat || this.#shutDown || leftMs() <= 0 || this.#closing.signal.aborted) throw error;
        await delay(FIRST_PAUSE_MS);
      }
    }
  }

  /** @throws JarvisError `timeout`, the signal's reason, or that the client was closed */
  async #within<T>(
    timeoutMs: number,
    signal: AbortSignal,
    action: (leftMs: () => number) => Promise<T>,
  ): Promise<T> {
    const deadlineMs = performance.now() + timeoutMs;
    const either = AbortSignal.any([signal, this.#closing.signal]);
    either.throwIfAborted();
    const settled = new AbortController();
    const deadline = delay(timeoutMs, undefined, { signal: AbortSignal.any([either, settled.signal]) }).then(
      () => {
        throw new JarvisError('timeout', `the watchdog did not answer within ${timeoutMs} ms`);
      },
      () => {
        throw either.reason as Error;
      },
    );
    try {
      return await Promise.race([action(() => deadlineMs - performance.now()), deadline]);
    } finally {
      settled.abort();
    }
  }

  /** The link there is, or a new one. It is shared by all who need it, so it has no deadline of its own. */
  #linked(): Promise<Link> {
    if (this.#link !== null) return this.#link;
    const session = this.#currentSession();
    const link = this.#establish(session);
    this.#link = link;
    const drop = (): void => {
      if (this.#link === link) this.#link = null;
    };
    void this.#watch(link, session, drop);
    return link;
  }

  /** Exits are wanted also when nobody asks for anything: links anew when the connection breaks. */
  async #watch(link: Promise<Link>, session: number, drop: () => void): Promise<void> {
    try {
      await (
        await link
      ).connection.closed;
      drop();
      if (this.#shutDown) this.#cache.failAll(new JarvisError('unavailable', 'the watchdog was shut down'));
      if (this.#shutDown || this.#closing.signal.aborted || this.#link !== null) return;
      this.#log.warn({}, 'the connection to the watchdog broke');
      await this.#linked();
    } catch (error) {
      drop();
      if (this.#closing.signal.aborted) return;
      this.#log.warn({ session, error: messageOf(error) }, 'no link to the watchdog');
      if (this.#session === session) this.#cache.failAll(asJarvisError(error));
    }
  }

  async #establish(session: number): Promise<Link> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      this.#closing.signal.throwIfAborted();
      if (this.#session !== session) throw new JarvisError('conflict', `session ${session} has ended`);
      try {
        return await this.#tryEstablish(session);
      } catch (error) {
        if (error instanceof JarvisError && error.code === 'conflict') throw error;
        const isDead = isErrno(error, 'ENOENT', 'ECONNREFUSED');
        if (isDead && this.#shutDown) throw new JarvisError('unavailable', 'the watchdog was shut down');
        if (isDead) this.#launch();
        else this.#log.warn({ error: messageOf(error) }, 'the watchdog does not answer');
        // One that was just started listens soon.
        const waitMs = this.#launched === null ? pauseMs : FIRST_PAUSE_MS;
        await delay(waitMs, undefined, { signal: this.#closing.signal });
      }
    }
  }

  async #tryEstablish(session: number): Promise<Link> {
    const directory = watchdogDirectory(this.#dataDirectory);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const connection = await WatchdogConnection.connect(directory);
    if (this.#session !== session || this.#closing.signal.aborted) {
      connection.destroy();
      throw new JarvisError('conflict', `session ${session} has ended`);
    }
    this.#connection = connection;
    const named = new Set<string>();
    connection.onEvent = ({ attempt }) => {
      named.add(attemptName(attempt));
      this.#cache.learn(attempt);
    };
    try {
      const hello = { type: 'hello', protocol: PROTOCOL, session } as const;
      const { pid, protocol } = await connection.request(hello, this.#timeoutMs);
      for (let after: number | null = null; ;) {
        const page: Answers['list'] = await connection.request(
          { type: 'list', session, after },
          this.#timeoutMs,
        );
        for (const attempt of page.attempts) {
          named.add(attemptName(attempt));
          this.#cache.learn(attempt);
        }
        after = page.next;
        if (after === null) break;
      }
      this.#cache.retain(named);
      const link = { connection, watchdogPid: pid, protocol };
      return link;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** One at a time: a second that finds the lock taken leaves at once, and may then be needed again. */
  #launch(): void {
    if (this.#launched !== null) return;
    const launched = launchWatchdog({
      dataDirectory: this.#dataDirectory,
      idleExitMs: this.#options.idleExitMs ?? DEFAULT_IDLE_EXIT_MS,
      useCgroups: this.#options.useCgroups ?? true,
      logLimits: this.#options.logLimits ?? DEFAULT_LOG_LIMITS,
    });
    this.#launched = launched;
    this.#log.info({ watchdogPid: launched.pid }, 'started a watchdog');
    void this.#clearLaunched(launched);
  }

  async #clearLaunched(launched: LaunchedWatchdog): Promise<void> {
    await launched.ended;
    this.#launched = null;
  }
}

function asJarvisError(error: unknown): JarvisError {
  return error instanceof JarvisError
    ? error
    : new JarvisError('unavailable', messageOf(error), { cause: error });
}
