/**
 * A cluster as commands see it: several peers, any of which will do. Requests stay with a peer that works and move on
 * when it does not; streams are reopened, also with another peer. Everything sent through here may be sent twice, so
 * writes carry an idempotency key.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { ErrorCode } from '../lib/errors.ts';
import type { Freshness } from '../rpc/freshness.ts';
import type { ClusterConnection } from './connection.ts';
import { clientLimits } from './limits.ts';

export const DEFAULT_PEER = '127.0.0.1:7101';

/** After these the same request may succeed, here or elsewhere. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set(['no_leader', 'unavailable', 'outcome_unknown', 'timeout']);

export function isTransient(error: unknown): error is JarvisError {
  return error instanceof JarvisError && TRANSIENT.has(error.code);
}

export interface PeersOptions {
  /** `host:port`, tried in this order. */
  readonly addresses: readonly string[];
  readonly dial: (address: string) => ClusterConnection;
  /** Told once for every outage that lasts longer than a change of leader does. */
  readonly onOutage: (message: string) => void;
}

/** Shorter outages are a change of leader, and nobody's business. */
const OUTAGE_NOTICE_MS = 3000;

/** Learned addresses are a help, not a promise: a few of them suffice. */
const MAX_ADDRESSES = 32;

export class Peers {
  readonly #options: PeersOptions;
  readonly #addresses: string[];
  readonly #connections = new Map<string, ClusterConnection>();
  #current = 0;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#addresses = [...options.addresses];
  }

  /**
   * Asks one peer after the other until one answers, for a bounded time while at least one of them can be reached, and
   * each of them once at least.
   * @throws JarvisError unavailable where none can be reached; otherwise what the last one answered.
   */
  async call<T>(
    operation: (peer: ClusterConnection, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    patienceMs: number = clientLimits.patienceMs,
  ): Promise<T> {
    const deadline = performance.now() + patienceMs;
    for (let round = 0; ; round += 1) {
      let refusal: JarvisError | null = null;
      for (let step = 0; step < this.#addresses.length; step += 1) {
        signal.throwIfAborted();
        const peer = this.#connection();
        try {
          await peer.connect(clientLimits.connectTimeoutMs, signal);
        } catch (error) {
          if (!isTransient(error)) throw error;
          this.#moveOn(peer);
          continue;
        }
        try {
          return await operation(peer, signal);
        } catch (error) {
          if (!isTransient(error)) throw error;
          refusal = error;
          this.#moveOn(peer);
        }
      }
      if (refusal === null) throw this.#unreachable();
      if (performance.now() + (refusal.retryAfterMs ?? 0) >= deadline) throw asUnreachable(refusal);
      await backOff(round, signal);
    }
  }

  /**
   * Items of a stream; when it breaks, `open` is called again, with whichever peer works. A stream that ends by itself
   * ends this one. @throws JarvisError where an outage lasts too long, and whatever no other peer could mend.
   */
  async *follow<T>(
    open: (peer: ClusterConnection, signal: AbortSignal) => AsyncIterable<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void, undefined> {
    const outage = new Outage(this.#options.onOutage);
    for (;;) {
      signal.throwIfAborted();
      const peer = this.#connection();
      try {
        await peer.connect(clientLimits.connectTimeoutMs, signal);
        for await (const item of open(peer, signal)) {
          outage.over();
          yield item;
        }
        return;
      } catch (error) {
        if (signal.aborted || !isTransient(error)) throw error;
        this.#moveOn(peer);
        outage.note(error);
        await backOff(Math.floor(outage.failures / this.#addresses.length), signal);
      }
    }
  }

  /** A stream that is not reopened; after a failure the next request goes to another peer. */
  async *once<T>(
    open: (peer: ClusterConnection, signal: AbortSignal) => AsyncIterable<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T, void, undefined> {
    const peer = this.#connection();
    try {
      await peer.connect(clientLimits.connectTimeoutMs, signal);
      yield* open(peer, signal);
    } catch (error) {
      if (isTransient(error)) this.#moveOn(peer);
      throw error;
    }
  }

  /** Remembers the members' addresses, so that a command that waits outlives the peers that the user named. */
  async learn(signal: AbortSignal): Promise<void> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(clientLimits.learnTimeoutMs)]);
    try {
      const { members } = await this.#connection().getCluster({ consistency: '' }, limited);
      for (const { address } of members) {
        if (address !== '' && this.#addresses.length < MAX_ADDRESSES && !this.#addresses.includes(address))
          this.#addresses.push(address);
      }
    } catch (error) {
      // Without it the named peers must do: nothing that the user asked for has failed.
      if (!(error instanceof JarvisError) && !limited.aborted) throw error;
    }
  }

  /** The peer that requests go to now. */
  get address(): string {
    return this.#connection().address;
  }

  /** Of what that peer answered last; null: it is not old. */
  get freshness(): Freshness | null {
    return this.#connection().freshness();
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #connection(): ClusterConnection {
    const address = this.#addresses[this.#current % this.#addresses.length] ?? DEFAULT_PEER;
    let connection = this.#connections.get(address);
    if (connection === undefined) {
      connection = this.#options.dial(address);
      this.#connections.set(address, connection);
    }
    return connection;
  }

  /** Only once for each failing peer, whoever finds it failing. */
  #moveOn(from: ClusterConnection): void {
    if (this.#connection() === from) this.#current = (this.#current + 1) % this.#addresses.length;
  }

  #unreachable(): JarvisError {
    const tried = this.#addresses.join(', ');
    const hint = this.#options.addresses.every((address) => address === DEFAULT_PEER)
      ? '; is a node running there? `jarvisctl dev` starts a local cluster, --peer names another'
      : '';
    const problems = [...this.#connections.values()].flatMap((connection) => connection.problem() ?? []);
    const reason = problems.length === 0 ? hint : `: ${[...new Set(problems)].join('; ')}`;
    return new JarvisError('unavailable', `no peer can be reached, tried ${tried}${reason}`);
  }
}

/** A peer that is too slow to answer is as good as none; `timeout` is what a wait's own limit is called. */
function asUnreachable(error: JarvisError): JarvisError {
  if (error.code !== 'timeout') return error;
  return new JarvisError('unavailable', `the cluster does not answer: ${error.message}`, { cause: error });
}

/** One stretch of time without a working stream. */
class Outage {
  failures = 0;
  readonly #onOutage: (message: string) => void;
  #sinceMs: number | null = null;
  #noted = false;

  constructor(onOutage: (message: string) => void) {
    this.#onOutage = onOutage;
  }

  over(): void {
    this.#sinceMs = null;
    this.#noted = false;
    this.failures = 0;
  }

  /** @throws the error where the outage has lasted too long */
  note(error: JarvisError): void {
    const now = performance.now();
    this.#sinceMs ??= now;
    this.failures += 1;
    const lastedMs = now - this.#sinceMs;
    if (lastedMs > clientLimits.outageMs) throw asUnreachable(error);
    if (lastedMs > OUTAGE_NOTICE_MS && !this.#noted) {
      this.#noted = true;
      this.#onOutage(`the cluster does not answer, still trying: ${messageOf(error)}`);
    }
  }
}

/** Doubles from `retryMinMs` to `retryMaxMs`. */
export async function backOff(round: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.min(clientLimits.retryMinMs * 2 ** Math.min(round, 10), clientLimits.retryMaxMs);
  await delay(waitMs, undefined, { signal });
}
