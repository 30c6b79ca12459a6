import { encodeId } from '../../../lib/ids.ts';
import { limits } from '../../../lib/limits.ts';
import { formatTime } from '../../../lib/times.ts';
import type {
  CreateJoinTokenCommand,
  DeleteJoinTokenCommand,
  Outcome,
  UseJoinTokenCommand,
} from '../../../model/commands.ts';
import type { JoinTokenRow } from '../../../model/join-token.ts';
import { faultOfUse, isSameUse, namesTakenBy } from '../join-tokens.ts';
import type { Transaction } from '../transaction.ts';
import { unbarMember } from './former-members.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';

export interface CreateJoinTokenResult {
  readonly id: string;
  /** A request that is repeated may have come with another secret than the one that counts. */
  readonly secretHash: string;
}

export function createJoinToken(transaction: Transaction, command: CreateJoinTokenCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    const { cluster, entry, nowMs, state } = transaction;
    const { secretHash, principal, validMs, uses, node } = command;
    const kept = [...state.joinTokens.values()].filter((token) => !isExpired(token, nowMs));
    if (kept.length >= limits.joinTokens)
      return refuse(
        'too_many',
        `there are ${kept.length} join tokens, and at most ${limits.joinTokens}: delete one, or wait until one expires`,
      );
    // In an order that is the same on every replica, whatever each has restored first.
    expireJoinTokens(transaction, [...state.joinTokens.keys()].sort());
    const id = encodeId('join', { epoch: cluster.epoch, index: entry.index, position: 0 }, state.idKey);
    transaction.put('joinToken', id, {
      id,
      secretHash,
      createdAtMs: nowMs,
      createdBy: principal,
      expiresAtMs: nowMs + validMs,
      node,
      uses,
      usedBy: [],
    });
    return done<CreateJoinTokenResult>({ id, secretHash });
  });
}

export function deleteJoinToken(transaction: Transaction, command: DeleteJoinTokenCommand): Outcome {
  return once(transaction, command.idempotency, () => {
    if (transaction.get('joinToken', command.id) === null)
      return refuse('not_found', `there is no join token ${command.id}`);
    transaction.delete('joinToken', command.id);
    return done(null);
  });
}

/**
 * The same node may say it again for as long as the token is valid: it may not have heard the answer. Nobody takes the
 * name of a node that the cluster knows, or that another has come in by.
 */
export function useJoinToken(transaction: Transaction, command: UseJoinTokenCommand): Outcome<null> {
  const { nowMs, state } = transaction;
  const { node, holder, secretHash } = command;
  const token = transaction.get('joinToken', command.id);
  const fault = faultOfUse(token, { node, holder, secretHash, nowMs });
  if (fault !== null || token === null) return refuse('forbidden', fault ?? '');
  if (token.usedBy.some((use) => isSameUse(use, command))) return done(null);
  const known = transaction.get('node', node);
  if (known !== null)
    return refuse(
      'conflict',
      `a node ${node} has been known since ${formatTime(known.joinedAtMs)}: choose another name, or remove it first`,
    );
  const taken = namesTakenBy(state.joinTokens.values(), nowMs).get(node);
  if (taken !== undefined && taken !== holder)
    return refuse('conflict', `another node has come in as ${node}: choose another name`);
  transaction.put('joinToken', token.id, {
    ...token,
    usedBy: [...token.usedBy, { node, holder, atMs: nowMs }],
  });
  unbarMember(transaction, node);
  return done(null);
}

/** Of those named. @returns how many are gone */
export function expireJoinTokens(transaction: Transaction, ids: readonly string[]): number {
  let gone = 0;
  for (const id of ids) {
    const token = transaction.get('joinToken', id);
    if (token === null || !isExpired(token, transaction.nowMs)) continue;
    transaction.delete('joinToken', id);
    gone += 1;
  }
  return gone;
}

function isExpired({ expiresAtMs }: JoinTokenRow, nowMs: number): boolean {
  return expiresAtMs <= nowMs;
}
