/** Whose token it is that came with a call, by the state that this node has applied. */
import { createHash } from 'node:crypto';

import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { Slots } from '../lib/slots.ts';
import { parseToken } from '../lib/token-text.ts';
import type { TokenRow } from '../model/token.ts';
import { endOfToken, isUsable } from '../model/token.ts';
import type { Replica } from '../scheduler/ports.ts';
import { AttemptLimit } from './attempt-limit.ts';
import { noToken, unanswered, wrong, type CallerTokens } from './caller-tokens.ts';
import type { Caller } from './port.ts';
import { isSecret } from './secrets.ts';
import { abortError, orAborted } from './waiting.ts';

export interface AuthenticatorOptions {
  readonly replica: Pick<Replica, 'state' | 'leadership' | 'onAdvanced'>;
  /** Resolves once this node has applied what the leader had committed when it was asked. @throws JarvisError */
  readonly catchUp: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  /** Tests count the calls. */
  readonly isSecret?: typeof isSecret;
}

/** A token whose secret was right. */
interface Known {
  readonly id: string;
  /** Of the row that it was compared with. */
  readonly hash: string;
}

/** setTimeout's longest. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Authenticator implements CallerTokens {
  readonly #options: AuthenticatorOptions;
  readonly #attempts: AttemptLimit;
  readonly #slots = new Slots(limits.secretChecks);
  #checking = 0;
  /** By the digest of the token, the longest unused first: no token is kept in memory. */
  readonly #known = new Map<string, Known>();
  /** By the same: whoever shows the same token meanwhile waits for the same answer. */
  readonly #pending = new Map<string, Promise<Known>>();
  readonly #watched = new Map<string, Set<() => void>>();
  readonly #unsubscribe: () => void;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#attempts = new AttemptLimit(options.clock);
    this.#unsubscribe = options.replica.onAdvanced(() => this.#look());
  }

  close(): void {
    this.#unsubscribe();
  }

  /**
   * The token's row, which can be used now.
   * @throws JarvisError unauthenticated; too_many where its address has shown too many wrong ones; unavailable where too
   *   many are being looked at, or it cannot be known whether there is a new one
   */
  async identify(caller: Caller | undefined, forwarded: boolean, signal: AbortSignal): Promise<TokenRow> {
    const token = caller?.token ?? null;
    if (caller === undefined || token === null) throw noToken();
    const digest = createHash('sha256').update(token).digest('base64');
    const known = this.#knownRow(digest);
    if (known !== null) return this.usable(known);
    let checking = this.#pending.get(digest);
    if (checking === undefined) {
      checking = this.#check(token, caller.address, forwarded);
      this.#pending.set(digest, checking);
      const forget = (): void => void this.#pending.delete(digest);
      checking
        .then(
          (found) => this.#remember(digest, found),
          () => undefined,
        )
        .then(forget, forget);
    }
    const { id } = await orAborted(checking, signal, () => abortError(signal));
    const row = this.#options.replica.state.tokens.get(id);
    if (row === undefined) throw wrong();
    return this.usable(row);
  }

  /** The same row as it is now. @throws JarvisError unauthenticated where it cannot be used any more */
  usable({ id, secret }: TokenRow): TokenRow {
    const row = this.#options.replica.state.tokens.get(id);
    if (row === undefined || row.secret.hash !== secret.hash) throw wrong();
    if (isUsable(row, this.#nowMs())) return row;
    throw new JarvisError(
      'unauthenticated',
      `token ${id} ${row.revokedAtMs === null ? 'has expired' : 'has been revoked'}`,
    );
  }

  /** The signal is aborted, with the reason, once the token cannot be used any more. */
  watch(row: TokenRow): Disposable & { readonly signal: AbortSignal } {
    const controller = new AbortController();
    let cancelTimer: (() => void) | null = null;
    const look = (): void => {
      cancelTimer?.();
      try {
        const endMs = endOfToken(this.usable(row));
        if (endMs === null) return;
        const leftMs = Math.max(1, Math.min(endMs - this.#nowMs(), MAX_TIMER_MS));
        cancelTimer = this.#options.clock.after(leftMs, look);
      } catch (error) {
        controller.abort(error);
      }
    };
    const watchers = this.#watched.get(row.id) ?? new Set();
    this.#watched.set(row.id, watchers.add(look));
    look();
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        cancelTimer?.();
        watchers.delete(look);
        if (watchers.size === 0 && this.#watched.get(row.id) === watchers) this.#watched.delete(row.id);
      },
    };
  }

  /** After each change of the state. */
  #look(): void {
    if (this.#watched.size === 0) return;
    const { tokens } = this.#options.replica.state;
    const nowMs = this.#nowMs();
    for (const [id, watchers] of this.#watched) {
      const row = tokens.get(id);
      if (row !== undefined && isUsable(row, nowMs)) continue;
      for (const look of watchers) look();
    }
  }

  /** Whichever is later, the node's own time or the cluster's: what one of them knows to be over is over. */
  #nowMs(): number {
    const { clock, replica } = this.#options;
    return Math.max(clock.wallMs(), replica.state.cluster?.timeMs ?? 0);
  }

  /** Null: it has to be looked at. */
  #knownRow(digest: string): TokenRow | null {
    const known = this.#known.get(digest);
    if (known === undefined) return null;
    const row = this.#options.replica.state.tokens.get(known.id);
    this.#known.delete(digest);
    if (row === undefined || row.secret.hash !== known.hash) return null;
    this.#known.set(digest, known);
    return row;
  }

  #remember(digest: string, known: Known): void {
    this.#known.set(digest, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > limits.knownTokens && oldest !== undefined) this.#known.delete(oldest);
  }

  async #check(token: string, address: string, isForwarded: boolean): Promise<Known> {
    const attempt = this.#attempts.begin(address, { isForwarded });
    let result: 'right' | 'wrong' | 'unknown' = 'unknown';
    try {
      const parts = parseToken(token);
      const row = parts === null ? null : await this.#row(parts.id);
      const isRight = await this.#compare(parts?.secret ?? '', row);
      result = isRight ? 'right' : 'wrong';
      if (row === null || !isRight) throw wrong();
      return { id: row.id, hash: row.secret.hash };
    } finally {
      attempt.end(result);
    }
  }

  /** An unknown one costs as much as any. */
  async #compare(secret: string, row: TokenRow | null): Promise<boolean> {
    if (this.#checking >= limits.secretChecks + limits.secretChecksWaiting)
      throw new JarvisError('unavailable', 'too many tokens are being looked at');
    this.#checking += 1;
    try {
      return await this.#slots.use(() => (this.#options.isSecret ?? isSecret)(secret, row?.secret ?? null));
    } finally {
      this.#checking -= 1;
    }
  }

  /** Also one that this node has not heard of yet, while others have. @throws JarvisError unavailable */
  async #row(id: string): Promise<TokenRow | null> {
    const { replica, clock, catchUp } = this.#options;
    const known = replica.state.tokens.get(id);
    if (known !== undefined || replica.leadership().isLeader) return known ?? null;
    const timeout = new AbortController();
    const cancel = clock.after(limits.tokenCatchUpMs, () => timeout.abort());
    try {
      await catchUp(timeout.signal);
    } catch (error) {
      throw unanswered(error);
    } finally {
      cancel();
    }
    return replica.state.tokens.get(id) ?? null;
  }
}
