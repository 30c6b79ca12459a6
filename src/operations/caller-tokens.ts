/** Whose token it is that came with a call: told by the state (`authenticator.ts`), or by whoever has one. */
import { JarvisError } from '../lib/errors.ts';
import type { Role } from '../model/token.ts';
import type { Caller } from './port.ts';

/** A token that can be used. */
export interface KnownToken {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}

/** Tokens are given back only to whoever they came from. */
export interface CallerTokens {
  /**
   * @param forwarded another node sent the call on, and has looked at the token itself
   * @throws JarvisError unauthenticated; too_many where its address has shown too many wrong ones; unavailable where it cannot
   *   be known
   */
  identify(caller: Caller | undefined, forwarded: boolean, signal: AbortSignal): Promise<KnownToken>;
  /** The same as it is now. @throws JarvisError unauthenticated where it is known that it cannot be used any more */
  usable(token: KnownToken): KnownToken;
  /** The signal is aborted, with the reason, once the token cannot be used any more. */
  watch(token: KnownToken): Disposable & { readonly signal: AbortSignal };
  close(): void;
}

export function noToken(): JarvisError {
  return new JarvisError(
    'unauthenticated',
    'a token is needed (jarvisctl: --token-file or JARVIS_TOKEN; HTTP: Authorization: Bearer TOKEN)',
  );
}

/** The same for an unknown token and for a wrong secret. */
export function wrong(): JarvisError {
  return new JarvisError('unauthenticated', 'the token is wrong');
}

export function unanswered(cause: unknown): JarvisError {
  const message = 'the cluster cannot be asked at present whether it knows this token';
  return new JarvisError('unavailable', message, { cause });
}
