/**
 * Whose a token is, on a node without a copy of the state: a member says so (proto/callers.proto). It is asked for each call, and
 * nothing of the answer is kept: only members hear when a token is revoked.
 */
import { createHash } from 'node:crypto';

import type { Identity } from '../../generated/callers.ts';
import { invariant } from '../../lib/assert.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { parseToken } from '../../lib/token-text.ts';
import { isRole } from '../../model/token.ts';
import { AttemptLimit } from '../attempt-limit.ts';
import { noToken, unanswered, wrong, type CallerTokens, type KnownToken } from '../caller-tokens.ts';
import type { Member, Remotes } from '../node-port.ts';
import type { Caller } from '../port.ts';
import { abortError, orAborted, pause } from '../waiting.ts';
import type { AnyMember } from './any-member.ts';

interface RemoteAuthenticatorOptions {
  readonly clusterId: string;
  readonly anyMember: AnyMember;
  readonly remotes: Pick<Remotes, 'identify'>;
  readonly clock: Clock;
}

/** A token that a member knows, with what is needed to ask again. */
class ShownToken implements KnownToken {
  readonly id: string;
  readonly name: string;
  readonly role: KnownToken['role'];
  readonly #caller: Caller;

  constructor({ id, name, role }: KnownToken, caller: Caller) {
    this.id = id;
    this.name = name;
    this.role = role;
    this.#caller = caller;
  }

  /** Beside the rest, so that the token itself is in nothing that is written down. */
  static callerOf(token: ShownToken): Caller {
    return token.#caller;
  }
}

interface Watched {
  readonly watchers: Set<AbortController>;
  readonly closing: AbortController;
}

export class RemoteAuthenticator implements CallerTokens {
  readonly #options: RemoteAuthenticatorOptions;
  readonly #attempts: AttemptLimit;
  /** By the digest of the token, as are all of them. Whoever shows the same token meanwhile waits for the same answer. */
  readonly #pending = new Map<string, Promise<KnownToken>>();
  /**
   * Those that were right when they were shown last, the longest unused first. They are asked about like any, and are no guesses:
   * whoever guesses from the same address does not keep their callers out.
   */
  readonly #right = new Set<string>();
  readonly #watched = new Map<string, Watched>();
  readonly #closing = new AbortController();

  constructor(options: RemoteAuthenticatorOptions) {
    this.#options = options;
    this.#attempts = new AttemptLimit(options.clock);
  }

  close(): void {
    this.#closing.abort(new JarvisError('unavailable', 'this node is stopping'));
  }

  async identify(caller: Caller | undefined, forwarded: boolean, signal: AbortSignal): Promise<KnownToken> {
    const token = caller?.token ?? null;
    if (caller === undefined || token === null) throw noToken();
    const digest = digestOf(token);
    let asking = this.#pending.get(digest);
    if (asking === undefined) {
      asking = this.#check(caller, digest, forwarded);
      this.#pending.set(digest, asking);
      const forget = (): void => void this.#pending.delete(digest);
      asking.then(forget, forget);
    }
    const known = await orAborted(asking, signal, () => abortError(signal));
    return new ShownToken(known, onlyToken(caller));
  }

  /** No more is known than when it was asked. */
  usable(token: KnownToken): KnownToken {
    return token;
  }

  /** However many calls of the same token go on, a member is asked by one stream. */
  watch(token: KnownToken): Disposable & { readonly signal: AbortSignal } {
    invariant(token instanceof ShownToken, 'a token is given back to whoever it came from');
    const caller = ShownToken.callerOf(token);
    const digest = digestOf(caller.token ?? '');
    const watched = this.#watched.get(digest) ?? this.#follow(caller, digest);
    const controller = new AbortController();
    watched.watchers.add(controller);
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        watched.watchers.delete(controller);
        if (watched.watchers.size > 0) return;
        if (this.#watched.get(digest) === watched) this.#watched.delete(digest);
        watched.closing.abort(new JarvisError('timeout', 'nobody is interested any more'));
      },
    };
  }

  async #check(caller: Caller, digest: string, isForwarded: boolean): Promise<KnownToken> {
    const attempt = this.#right.has(digest) ? null : this.#attempts.begin(caller.address, { isForwarded });
    let result: 'right' | 'wrong' | 'unknown' = 'unknown';
    try {
      // What is no token at all, no member knows.
      if (parseToken(caller.token ?? '') === null) throw wrong();
      const { known, stream } = await this.#ask(caller, this.#closing.signal, limits.tokenAskMs);
      result = 'right';
      this.#remember(digest);
      await stream.return?.();
      return known;
    } catch (error) {
      if (isWrong(error)) {
        result = 'wrong';
        this.#right.delete(digest);
      }
      throw error;
    } finally {
      attempt?.end(result);
    }
  }

  #remember(digest: string): void {
    this.#right.delete(digest);
    this.#right.add(digest);
    const [oldest] = this.#right;
    if (this.#right.size > limits.knownTokens && oldest !== undefined) this.#right.delete(oldest);
  }

  /** Whose it is, and the stream that ends with it. @throws JarvisError unauthenticated, too_many, unavailable */
  async #ask(caller: Caller, signal: AbortSignal, inAllMs: number): Promise<Asked> {
    const { clusterId, anyMember, remotes } = this.#options;
    try {
      return await anyMember.ask(
        signal,
        { tryMs: limits.tokenTryMs, inAllMs },
        async (member, inner) => {
          const context = { caller, principal: 'anonymous', signal: inner, forwarded: true };
          const answers = remotes.identify(member.address, { cluster_id: clusterId }, context);
          const stream = answers[Symbol.asyncIterator]();
          const first = await stream.next();
          if (first.done === true) throw endedEarly(member);
          const known = knownOf(first.value);
          if (known !== null) return { known, stream, member };
          await stream.return?.();
          const { id } = first.value;
          throw new JarvisError('unavailable', `token ${id} has a role that this version does not know`);
        },
        isWrong,
      );
    } catch (error) {
      const isSaid = isWrong(error) || (error instanceof JarvisError && error.code === 'too_many');
      throw isSaid ? error : unanswered(error);
    }
  }

  #follow(caller: Caller, digest: string): Watched {
    const watched = { watchers: new Set<AbortController>(), closing: new AbortController() };
    this.#watched.set(digest, watched);
    const signal = AbortSignal.any([this.#closing.signal, watched.closing.signal]);
    this.#untilOver(caller, signal).catch((error: unknown) => {
      if (this.#watched.get(digest) === watched) this.#watched.delete(digest);
      if (isWrong(error)) this.#right.delete(digest);
      for (const controller of watched.watchers) controller.abort(error);
    });
    return watched;
  }

  /**
   * That a stream breaks says nothing of its token: the member was restarted, or a connection lost. Were the calls ended then, each
   * restart of a member would end those of all callers here. So another one is asked. But nobody hears of a revocation meanwhile, and
   * so a call does not go on for ever where nobody answers.
   * @throws JarvisError always
   */
  async #untilOver(caller: Caller, signal: AbortSignal): Promise<never> {
    const { anyMember, clock } = this.#options;
    for (;;) {
      const { stream, member } = await this.#ask(caller, signal, limits.tokenUnheardMs);
      try {
        for (;;) if ((await stream.next()).done === true) throw endedEarly(member);
      } catch (error) {
        if (signal.aborted || isWrong(error)) throw error;
      }
      anyMember.failed(member);
      await pause(clock, limits.routeRetryMs, signal);
    }
  }
}

interface Asked {
  readonly known: KnownToken;
  readonly stream: AsyncIterator<Identity>;
  readonly member: Member;
}

/** What the member says of the token; all else is about the member, or about this node. */
function isWrong(error: unknown): boolean {
  return error instanceof JarvisError && error.code === 'unauthenticated';
}

/** Null: its role is one of a later version. */
function knownOf({ id, name, role }: Identity): KnownToken | null {
  return isRole(role) ? { id, name, role } : null;
}

function endedEarly({ name }: Member): JarvisError {
  return new JarvisError('unavailable', `${name} has ended the stream of a token without a reason`);
}

/** A node that asks for itself shows no token. */
function onlyToken({ token, address }: Caller): Caller {
  return { token, address };
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
