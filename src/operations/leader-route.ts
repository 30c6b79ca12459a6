/** Asks whoever leads, this node or another. A change of leader in between is waited out for a bounded time. */
import { onAbort } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Leaders, Leadership } from '../scheduler/ports.ts';
import type { Remotes } from './node-port.ts';
import type { CallContext, RemoteOperations } from './port.ts';
import { pause, throwIfAborted } from './waiting.ts';

/** After these, asking again may do: nothing has happened, or an idempotency key keeps it from happening twice. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['no_leader', 'unavailable', 'timeout', 'outcome_unknown']);
const MAX_RETRY_MS = 500;

export interface LeaderRouteOptions {
  readonly leaders: Leaders;
  /** This node's own answers, asked while it leads; null: it has no copy of the state, and never leads. */
  readonly local: RemoteOperations | null;
  readonly staleReads: StaleReads;
  /** Told where the leader did not answer as one; absent: this node hears of a new one anyway. */
  readonly onDoubt?: () => void;
  readonly remotes: Pick<Remotes, 'operations'>;
  readonly clock: Clock;
}

export type Call<T> = (operations: RemoteOperations, context: CallContext) => Promise<T>;

/** Who answers what may be stale: this node, or any other that has a copy of the state. */
export interface StaleReads {
  read<T>(context: CallContext, call: Call<T>): Promise<T>;
}

export class LeaderRoute {
  readonly #options: LeaderRouteOptions;

  constructor(options: LeaderRouteOptions) {
    this.#options = options;
  }

  /** A stale one never goes to the leader for being that. */
  async read<T>(context: CallContext, call: Call<T>, tries = new Tries(this.#options.clock)): Promise<T> {
    if (context.isStale === true) return await this.#options.staleReads.read(context, call);
    for (;;) {
      try {
        return await this.#ask(context, tries, call);
      } catch (error) {
        await this.beforeRetry(context, tries, error);
      }
    }
  }

  /** @param call may be made several times: what it asks for has an idempotency key, or does nothing twice */
  async write<T>(context: CallContext, call: Call<T>): Promise<T> {
    const tries = new Tries(this.#options.clock);
    let unknown: JarvisError | null = null;
    for (;;) {
      try {
        return await this.#ask(context, tries, call);
      } catch (error) {
        if (isOutcomeUnknown(error)) unknown = error;
        try {
          await this.beforeRetry(context, tries, error);
        } catch (final) {
          if (unknown === null || !isRetryable(final)) throw final;
          const message = 'it is not known whether the request was carried out: ask before sending it anew';
          throw new JarvisError('outcome_unknown', message, { cause: unknown });
        }
      }
    }
  }

  async #ask<T>(context: CallContext, tries: Tries, call: Call<T>): Promise<T> {
    const operations = await this.target(context, tries);
    if (operations === this.#options.local) return await call(operations, context);
    using remote = this.callOf(context, tries, operations);
    return await call(operations, remote.context);
  }

  /**
   * A leader that is stopped or cut off takes a request and does not answer it: it is given up as soon as this node
   * knows that another one leads, not when its connection is found dead.
   */
  callOf(
    context: CallContext,
    { asked }: Tries,
    operations: RemoteOperations,
  ): Disposable & { readonly context: CallContext } {
    if (operations === this.#options.local) return { context, [Symbol.dispose]: () => undefined };
    const controller = new AbortController();
    const giveUp = (): void => controller.abort(context.signal.reason);
    const stopListening = onAbort(context.signal, giveUp);
    if (context.signal.aborted) giveUp();
    const unsubscribe = this.#options.leaders.onLeadership((now) => {
      if (isOvertaken(asked, now)) controller.abort(new JarvisError('unavailable', 'another node leads'));
    });
    return {
      context: { ...context, signal: controller.signal },
      [Symbol.dispose]: () => {
        unsubscribe();
        stopListening();
      },
    };
  }

  /** Who answers now. @throws JarvisError no_leader where there is none for a while, or at once for a forwarded call */
  async target(context: CallContext, tries: Tries): Promise<RemoteOperations> {
    const { leaders, clock, local, remotes } = this.#options;
    const patienceMs = Math.min(limits.leaderWaitMs, tries.remainingMs());
    const giveUpMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      throwIfAborted(context.signal);
      const now = leaders.leadership();
      const { isLeader, leader } = now;
      tries.asked = now;
      if (isLeader && local !== null) return local;
      // Elected, and about to lead: who is sent here is right.
      const isElected = leader?.name === leaders.nodeName;
      // Never sent on again: two nodes that take each other for the leader would play ball.
      if (context.forwarded && !isElected)
        throw new JarvisError('no_leader', `${leaders.nodeName} does not lead`);
      if (leader !== null && !isElected) return remotes.operations(leader.address);
      const leftMs = giveUpMs - clock.monotonicMs();
      if (leftMs <= 0) throw new JarvisError('no_leader', 'the cluster has no leader at present');
      await pause(clock, leftMs, context.signal, (wake) => leaders.onLeadership(wake));
    }
  }

  /** Waits a little where asking again makes sense, otherwise throws the error. */
  async beforeRetry(context: CallContext, tries: Tries, error: unknown): Promise<void> {
    const { clock, leaders } = this.#options;
    if (context.signal.aborted || context.forwarded || !isRetryable(error)) throw error;
    this.#options.onDoubt?.();
    if ((error.retryAfterMs ?? 0) > tries.remainingMs()) throw error;
    if (tries.remainingMs() > 0 && isOvertaken(tries.asked, leaders.leadership())) return;
    const delayMs = tries.nextDelayMs();
    if (delayMs >= tries.remainingMs()) throw error;
    const before = leaders.leadership();
    await pause(clock, delayMs, context.signal, (wake) =>
      leaders.onLeadership((now) => {
        if (!sameLeader(before, now)) wake();
      }),
    );
  }
}

/** The time that all tries of one request may take together. */
export class Tries {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  #delayMs: number = limits.routeRetryMs;
  /** What was known of the leadership when the present try chose whom to ask. */
  asked: Leadership | null = null;

  constructor(clock: Clock, timeoutMs: number = limits.routeTimeoutMs) {
    this.#clock = clock;
    this.#deadlineMs = clock.monotonicMs() + timeoutMs;
  }

  /** For a request that has come further: it may take the whole time again. */
  anew(): Tries {
    const tries = new Tries(this.#clock);
    tries.asked = this.asked;
    return tries;
  }

  remainingMs(): number {
    return Math.max(0, this.#deadlineMs - this.#clock.monotonicMs());
  }

  nextDelayMs(): number {
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, MAX_RETRY_MS);
    return delayMs;
  }
}

/** A write may have happened. */
export function isOutcomeUnknown(error: unknown): error is JarvisError {
  return error instanceof JarvisError && (error.code === 'timeout' || error.code === 'outcome_unknown');
}

function isRetryable(error: unknown): error is JarvisError {
  return error instanceof JarvisError && RETRYABLE.has(error.code);
}

/** Somebody else leads, or is about to, than when it was asked. */
function isOvertaken(asked: Leadership | null, now: Leadership): boolean {
  return asked !== null && now.leader !== null && !sameLeader(asked, now);
}

function sameLeader(before: Leadership, now: Leadership): boolean {
  return before.isLeader === now.isLeader && before.leader?.name === now.leader?.name;
}
