/**
 * The daemon's side of the watchdog, in the steps of `agent/watchdog/client.ts`: starts one where there is none, connects
 * again, and repeats what a broken connection may have swallowed. What was sent arrives whatever becomes of the sender.
 */
import { AttemptCache } from '../../../src/agent/watchdog/attempt-cache.ts';
import type {
  AttemptKey,
  AttemptSpec,
  AttemptView,
  Driver,
  Exit,
} from '../../../src/agent/drivers/driver.ts';
import { recordedDeadline } from '../../../src/agent/watchdog/lease.ts';
import { attemptName } from '../../../src/agent/watchdog/paths.ts';
import {
  PROTOCOL,
  type Answers,
  type Reply,
  type Request,
  type RequestBody,
} from '../../../src/agent/watchdog/protocol.ts';
import type { LeaseHolder } from '../../../src/agent/worker/lease-keeper.ts';
import { pause } from '../../../src/lib/backoff.ts';
import { JarvisError, type ErrorCode } from '../../../src/lib/errors.ts';
import type { Host } from './host.ts';
import type { SimulatedProcess } from './process.ts';
import type { DaemonConnection, SimulatedWatchdog } from './watchdog.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_MS = 10;
/** What a watchdog takes from its start to its first answer. */
const BEGIN_MS = 100;
/** Made once: whoever gives up a wait needs no trace of where. */
const SETTLED = new JarvisError('unavailable', 'it is settled');

class Connection implements DaemonConnection {
  session: number | null = null;
  isOpen = true;
  onEvent: (view: AttemptView) => void = () => {};
  onClosed: () => void = () => {};
  readonly watchdog: SimulatedWatchdog;
  readonly #host: Host;
  readonly #daemon: SimulatedProcess;
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  /** Some sockets are full, or their watchdog is slow to look at them. */
  readonly #slowMs: number;
  #nextId = 1;
  #arrivesMs = 0;

  constructor(host: Host, daemon: SimulatedProcess, watchdog: SimulatedWatchdog) {
    this.#host = host;
    this.#daemon = daemon;
    this.watchdog = watchdog;
    const { chance } = host;
    this.#slowMs = chance.happens(0.1) ? chance.between(50, 1500) : 1;
    watchdog.connect(this);
  }

  readonly reply = (reply: Reply): void => {
    this.#daemon.later(0.2, () => {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (pending === undefined) return;
      if ('answer' in reply) pending.resolve(reply.answer as never);
      else pending.reject(new JarvisError(reply.refusal.code as ErrorCode, reply.refusal.message));
    });
  };

  readonly event = ({ attempt }: { readonly attempt: AttemptView }): void => {
    this.#daemon.later(0.2, () => {
      if (this.isOpen) this.onEvent(attempt);
    });
  };

  readonly closed = (): void => {
    this.#daemon.later(0.5, () => this.destroy());
  };

  destroy(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const { reject } of this.#pending.values())
      reject(new JarvisError('unavailable', 'the connection is closed'));
    this.#pending.clear();
    this.onClosed();
  }

  request<Body extends RequestBody>(body: Body, timeoutMs: number): Promise<Answers[Body['type']]> {
    if (!this.isOpen) return Promise.reject(new JarvisError('unavailable', 'the connection is closed'));
    const id = this.#nextId;
    this.#nextId += 1;
    const { promise, resolve, reject } = Promise.withResolvers<Answers[Body['type']]>();
    this.#pending.set(id, { resolve, reject });
    const { time } = this.#host.world;
    this.#arrivesMs = Math.max(
      this.#arrivesMs,
      time.nowMs + this.#host.chance.between(0.05, 0.3) + this.#host.chance.random() * this.#slowMs,
    );
    if (body.type === 'start') this.#arrivesMs += this.#host.onProcessStart();
    const request = { ...body, id } as Request;
    this.watchdog.process.later(this.#arrivesMs - time.nowMs, () => this.watchdog.take(this, request));
    this.#daemon.clock().after(timeoutMs, () => {
      if (this.#pending.delete(id)) reject(new JarvisError('timeout', 'the watchdog does not answer'));
    });
    return promise;
  }
}

export class WatchdogLink implements Driver, LeaseHolder {
  readonly name = 'process';
  readonly startsAtOnce = 8;
  readonly #host: Host;
  readonly #daemon: SimulatedProcess;
  readonly #cache = new AttemptCache();
  #session: number | null = null;
  #link: Promise<Connection> | null = null;
  #connection: Connection | null = null;

  constructor(host: Host, daemon: SimulatedProcess) {
    this.#host = host;
    this.#daemon = daemon;
  }

  /** In the session that it was told last. */
  attach(): void {
    const { session } = this.#host.files.watchdog;
    if (session === 0) return;
    this.#session = session;
    void this.#linked().catch(() => {});
  }

  async open(session: number, signal: AbortSignal): Promise<void> {
    if (this.#session !== null && session < this.#session)
      throw new JarvisError('conflict', `session ${session} has ended`);
    if (session !== this.#session) {
      this.#session = session;
      this.#link = null;
      this.#connection?.destroy();
    }
    await this.#within(signal, this.#linked());
  }

  async recordedDeadlineMs(): Promise<number | null> {
    const { files, bootId } = this.#host;
    return recordedDeadline({ read: async () => files.lease }, bootId);
  }

  async replaceHung(timeoutMs: number): Promise<void> {
    const holder = this.#host.watchdog;
    const session = this.#session;
    if (session === null || holder === null) return;
    const ageMs = this.#host.world.time.nowMs - holder.bornMs;
    const patienceMs = Math.max(timeoutMs, BEGIN_MS - ageMs);
    try {
      const ping = this.#requestUntil({ type: 'ping', session });
      await this.#within(new AbortController().signal, ping, patienceMs);
      return;
    } catch (error) {
      if (!(error instanceof JarvisError) || error.code !== 'timeout') return;
    }
    if (!holder.process.isAlive) return;
    this.#host.world.trace.count('hung watchdog replaced');
    holder.kill();
    this.#connection?.destroy();
  }

  async extendLease(session: number, deadlineMs: number, signal: AbortSignal): Promise<void> {
    if (session !== this.#session) await this.open(session, signal);
    await this.#request({ type: 'lease', session, deadlineMs }, signal);
  }

  async guard(
    { taskId, assignment, session }: AttemptKey & { readonly session: number },
    group: { cgroup: string; isLeased: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    await this.#request({ type: 'guard', taskId, assignment, session, ...group }, signal);
  }

  async isGuardOver(key: AttemptKey, signal: AbortSignal): Promise<boolean> {
    return (await this.#request({ type: 'isGuardOver', ...this.#named(key) }, signal)).isOver;
  }

  async release(key: AttemptKey, signal: AbortSignal): Promise<void> {
    await this.#request({ type: 'release', ...this.#named(key) }, signal);
  }

  async start(spec: AttemptSpec, signal: AbortSignal): Promise<AttemptView> {
    const { attempt } = await this.#request({ type: 'start', session: spec.session, spec }, signal);
    this.#cache.learn(attempt);
    return this.#cache.get(attempt) ?? attempt;
  }

  async list(signal: AbortSignal): Promise<readonly AttemptView[]> {
    const session = this.#currentSession();
    const { attempts } = await this.#request({ type: 'list', session, after: null }, signal);
    for (const view of attempts) this.#cache.learn(view);
    return attempts;
  }

  async wait(key: AttemptKey, signal: AbortSignal): Promise<Exit> {
    if (this.#cache.get(key) === undefined) await this.#within(signal, this.#linked());
    return this.#cache.wait(key, signal);
  }

  async stop(key: AttemptKey, { graceMs }: { graceMs: number }, signal: AbortSignal): Promise<Exit | null> {
    const { attempt } = await this.#request({ type: 'stop', ...this.#named(key), graceMs }, signal);
    if (attempt === null) return null;
    this.#cache.learn(attempt);
    return this.#cache.wait(key, signal);
  }

  async remove(key: AttemptKey, signal: AbortSignal): Promise<void> {
    await this.#request({ type: 'remove', ...this.#named(key) }, signal);
    this.#cache.forget(key);
  }

  async close(): Promise<void> {}

  #named({ taskId, assignment }: AttemptKey): AttemptKey & { session: number } {
    return { session: this.#currentSession(), taskId, assignment };
  }

  #currentSession(): number {
    if (this.#session === null) throw new JarvisError('unavailable', 'no session has begun');
    return this.#session;
  }

  #request<Body extends RequestBody>(body: Body, signal: AbortSignal): Promise<Answers[Body['type']]> {
    return this.#within(signal, this.#requestUntil(body));
  }

  async #requestUntil<Body extends RequestBody>(body: Body): Promise<Answers[Body['type']]> {
    for (;;) {
      const connection = await this.#linked();
      try {
        return await connection.request(body, REQUEST_TIMEOUT_MS);
      } catch (error) {
        if (!(error instanceof JarvisError) || error.code !== 'unavailable') throw error;
        await this.#daemon.pass(RETRY_MS);
      }
    }
  }

  async #within<T>(signal: AbortSignal, work: Promise<T>, timeoutMs = REQUEST_TIMEOUT_MS): Promise<T> {
    work.catch(() => {});
    signal.throwIfAborted();
    const settled = new AbortController();
    const either = AbortSignal.any([signal, settled.signal]);
    const over = pause(this.#daemon.clock(), timeoutMs, either).then(() => {
      signal.throwIfAborted();
      throw new JarvisError('timeout', 'the watchdog did not answer');
    });
    over.catch(() => {});
    try {
      return await Promise.race([work, over]);
    } finally {
      settled.abort(SETTLED);
    }
  }

  #linked(): Promise<Connection> {
    this.#link ??= this.#establish(this.#currentSession());
    return this.#link;
  }

  async #establish(session: number): Promise<Connection> {
    for (;;) {
      const watchdog = this.#host.watchdog;
      if (watchdog === null || !watchdog.process.isAlive) {
        await this.#daemon.pass(this.#host.chance.between(5, 30));
        this.#host.launchWatchdog();
        continue;
      }
      try {
        return await this.#tryEstablish(session, watchdog);
      } catch (error) {
        if (this.#session !== session || (error instanceof JarvisError && error.code === 'conflict')) {
          this.#link = null;
          throw error;
        }
        await this.#daemon.pass(RETRY_MS);
      }
    }
  }

  async #tryEstablish(session: number, watchdog: SimulatedWatchdog): Promise<Connection> {
    const connection = new Connection(this.#host, this.#daemon, watchdog);
    this.#connection = connection;
    const named = new Set<string>();
    const learn = (view: AttemptView): void => {
      named.add(attemptName(view));
      this.#cache.learn(view);
    };
    connection.onEvent = learn;
    try {
      await connection.request({ type: 'hello', protocol: PROTOCOL, session }, REQUEST_TIMEOUT_MS);
      const { attempts } = await connection.request(
        { type: 'list', session, after: null },
        REQUEST_TIMEOUT_MS,
      );
      for (const view of attempts) learn(view);
      this.#cache.retain(named);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    connection.onClosed = () => {
      if (this.#session !== session) return;
      this.#link = null;
      void this.#linked().catch(() => {});
    };
    return connection;
  }
}
