/**
 * Linearizable reads by ReadIndex (Raft dissertation, section 6.4): all reads that wait when a round begins share it,
 * and are answered once what the round confirmed has been applied here.
 */
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { RaftCore } from './core/raft-core.ts';
import type { ReadLease } from './read-lease.ts';

/** What reads need of the core. */
export type ReadCore = Pick<RaftCore, 'readIndex' | 'committedAsLeader' | 'isTransferring'>;

interface Waiter {
  /** Leases do not do. */
  readonly needsQuorum: boolean;
  readonly resolve: (index: number) => void;
  readonly reject: (error: JarvisError) => void;
}

export class PendingReads {
  readonly #clock: Clock;
  readonly #core: ReadCore;
  readonly #lease: ReadLease | null;
  /** Arrived since the last round began. */
  #arrived = new Set<Waiter>();
  /** By the round's context: begun, not yet confirmed. */
  readonly #rounds = new Map<string, Set<Waiter>>();
  /** Confirmed, waiting for the index to be applied; few, since a round serves many. */
  #confirmed: { readonly index: number; readonly waiters: Set<Waiter> }[] = [];
  #roundNumber = 0;
  #waiting = 0;

  /** @param lease absent: every read asks a quorum */
  constructor(clock: Clock, core: ReadCore, lease: ReadLease | null = null) {
    this.#clock = clock;
    this.#core = core;
    this.#lease = lease;
  }

  /**
   * @param options.needsQuorum a round that begins after this call has to be acknowledged, whatever leases say
   * @throws JarvisError no_leader, too_many, timeout where the caller goes; the signal's reason where it has gone
   */
  async request(
    signal: AbortSignal,
    { needsQuorum = false }: { readonly needsQuorum?: boolean } = {},
  ): Promise<number> {
    signal.throwIfAborted();
    if (this.#waiting >= limits.pendingReads) {
      throw new JarvisError('too_many', `${limits.pendingReads} reads are waiting already`);
    }
    this.#waiting += 1;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const waiter: Waiter = { needsQuorum, resolve, reject };
    this.#arrived.add(waiter);
    const cancelTimer = this.#clock.after(limits.readTimeoutMs, () =>
      reject(new JarvisError('no_leader', `no quorum confirmed the read within ${limits.readTimeoutMs} ms`)),
    );
    const abort = (): void => reject(new JarvisError('timeout', 'the caller has gone'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await promise;
    } finally {
      this.#waiting -= 1;
      cancelTimer();
      signal.removeEventListener('abort', abort);
      this.#arrived.delete(waiter);
      for (const [context, waiters] of this.#rounds) {
        if (waiters.delete(waiter) && waiters.size === 0) this.#rounds.delete(context);
      }
    }
  }

  /** Begins a round for those that have arrived: only a round begun after a read's arrival speaks for it. */
  begin(): void {
    if (this.#core.isTransferring) this.#lease?.forfeit();
    if (this.#arrived.size === 0) return;
    let waiters = this.#arrived;
    this.#arrived = new Set();
    const committed = this.#lease?.holds === true ? this.#core.committedAsLeader : null;
    if (committed !== null) {
      const byLease = [...waiters].filter(({ needsQuorum }) => !needsQuorum);
      this.#confirmed.push({ index: committed, waiters: new Set(byLease) });
      waiters = new Set([...waiters].filter(({ needsQuorum }) => needsQuorum));
      if (waiters.size === 0) return;
    }
    this.#roundNumber += 1;
    const context = `read-${this.#roundNumber}`;
    this.#lease?.began(context);
    const result = this.#core.readIndex(context);
    if (result.type === 'accepted') {
      this.#rounds.set(context, waiters);
      return;
    }
    for (const { reject } of waiters) reject(new JarvisError('no_leader', `no read: ${result.reason}`));
  }

  confirmed(context: string, index: number): void {
    this.#lease?.confirmed(context);
    const waiters = this.#rounds.get(context);
    if (waiters === undefined) return;
    this.#rounds.delete(context);
    this.#confirmed.push({ index, waiters });
  }

  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const due = this.#confirmed.filter((round) => round.index <= index);
    if (due.length === 0) return;
    this.#confirmed = this.#confirmed.filter((round) => round.index > index);
    for (const round of due) for (const { resolve } of round.waiters) resolve(index);
  }

  /** Every read fails: leadership is lost, or the node stops. */
  fail(reason: string): void {
    this.#lease?.reset();
    const error = new JarvisError('no_leader', reason);
    const waiting = [
      ...this.#arrived,
      ...[...this.#rounds.values()].flatMap((waiters) => [...waiters]),
      ...this.#confirmed.flatMap((round) => [...round.waiters]),
    ];
    this.#arrived = new Set();
    this.#rounds.clear();
    this.#confirmed = [];
    for (const { reject } of waiting) reject(error);
  }
}
