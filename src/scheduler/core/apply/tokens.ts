/** Who is let in. The order of a map must not count: whatever is looked for among tokens is looked for by their ids. */
import { limits } from '../../../lib/limits.ts';
import type {
  CreateTokenCommand,
  ExpireTokensCommand,
  Outcome,
  RevokeTokenCommand,
} from '../../../model/commands.ts';
import type { TokenRow } from '../../../model/token.ts';
import { ADMIN_TOKEN_NAME, endOfToken, hasUsableAdmin, isUsable } from '../../../model/token.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';

export interface CreateTokenResult {
  /** Of the first try, where the request is a repeated one: its secret is not that of this command. */
  readonly id: string;
}

export interface ExpireTokensResult {
  readonly tokens: number;
}

export function createToken(transaction: Transaction, command: CreateTokenCommand): Outcome {
  return once<CreateTokenResult>(transaction, command.idempotency, () => {
    const { nowMs } = transaction;
    const { id, name, role, secret, isFirst } = command;
    const tokens = sortedTokens(transaction);
    if (transaction.get('token', id) !== null) return refuse('conflict', `there is a token ${id} already`);
    if (isFirst && hasUsableAdmin(tokens, nowMs)) return refuse('conflict', 'there is a token of an admin');
    if (!isFirst && name === ADMIN_TOKEN_NAME)
      return refuse('conflict', `the name ${ADMIN_TOKEN_NAME} is kept for the token that the cluster makes`);
    const namesakes = tokens.filter((token) => token.name === name);
    const inUse = namesakes.find((token) => isUsable(token, nowMs));
    if (inUse !== undefined)
      return refuse('conflict', `token ${inUse.id} has the name ${name}: revoke it, or take another name`);
    for (const token of namesakes) transaction.delete('token', token.id);
    const others = tokens.filter((token) => token.name !== name);
    if (!makeRoom(transaction, others))
      return refuse('too_many', `there are ${limits.tokens} tokens that can be used: revoke some first`);
    const expiresAtMs = command.validMs === null ? null : nowMs + command.validMs;
    const { principal: createdBy } = command;
    const row: TokenRow = {
      id,
      name,
      role,
      secret,
      createdAtMs: nowMs,
      createdBy,
      expiresAtMs,
      revokedAtMs: null,
    };
    transaction.put('token', id, row);
    return done({ id });
  });
}

/** What is so already is fine. The last way in stays: who wants another first makes it. */
export function revokeToken(transaction: Transaction, { id, idempotency }: RevokeTokenCommand): Outcome {
  return once(transaction, idempotency, () => {
    const { nowMs } = transaction;
    const token = transaction.get('token', id);
    if (token === null) return refuse('not_found', `there is no token ${id}`);
    if (!isUsable(token, nowMs)) return done(null);
    const others = sortedTokens(transaction).filter((other) => other.id !== id);
    if (token.role === 'admin' && !hasUsableAdmin(others, nowMs))
      return refuse('conflict', `${id} is the last token of an admin: create another one first`);
    transaction.put('token', id, { ...token, revokedAtMs: nowMs });
    return done(null);
  });
}

/** Those that ended long ago are not even shown any more. */
export function expireTokens(
  transaction: Transaction,
  _command: ExpireTokensCommand,
): Outcome<ExpireTokensResult> {
  const old = sortedTokens(transaction).filter((token) => isForgotten(token, transaction.nowMs));
  for (const { id } of old) transaction.delete('token', id);
  return done({ tokens: old.length });
}

/** Whether it ended so long ago that nobody needs to see it. */
export function isForgotten(token: TokenRow, nowMs: number): boolean {
  const endMs = endOfToken(token);
  return endMs !== null && endMs + limits.endedTokensKeptMs <= nowMs;
}

/** For one more, at the expense of those that ended first. */
function makeRoom(transaction: Transaction, tokens: readonly TokenRow[]): boolean {
  const excess = tokens.length + 1 - limits.tokens;
  if (excess <= 0) return true;
  const ended = tokens.filter((token) => !isUsable(token, transaction.nowMs));
  if (ended.length < excess) return false;
  // Sorted by id before: equal ends keep that order.
  ended.sort((a, b) => (endOfToken(a) ?? 0) - (endOfToken(b) ?? 0));
  for (const { id } of ended.slice(0, excess)) transaction.delete('token', id);
  return true;
}

function sortedTokens({ state }: Transaction): readonly TokenRow[] {
  return [...state.tokens.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
