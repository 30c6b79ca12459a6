/** Whether a join token lets a node in: one rule for the leader, which asks before it proposes, and for `apply`. */
import { formatTime } from '../../lib/times.ts';
import { REMOVED_HOLDER, type JoinTokenRow, type JoinTokenUse } from '../../model/join-token.ts';

export interface JoinAttempt {
  readonly node: string;
  readonly holder: string;
  readonly secretHash: string;
  readonly nowMs: number;
}

/** Whoever has not shown the secret is told nothing about the token. @returns what is wrong, for people */
export function faultOfUse(token: JoinTokenRow | null, attempt: JoinAttempt): string | null {
  const { node, nowMs, secretHash } = attempt;
  if (token === null || token.secretHash !== secretHash)
    return 'the join token is not one of this cluster, or not any more';
  if (token.expiresAtMs <= nowMs) return `join token ${token.id} expired at ${formatTime(token.expiresAtMs)}`;
  if (token.node !== null && token.node !== node)
    return `join token ${token.id} is for a node with the name ${token.node}, and not ${node}`;
  if (token.usedBy.length < token.uses || token.usedBy.some((use) => isSameUse(use, attempt))) return null;
  const names = token.usedBy.map((use) => use.node).join(', ');
  return `join token ${token.id} is used up: ${names} came in by it`;
}

export function isSameUse(
  use: JoinTokenUse,
  { node, holder }: Pick<JoinAttempt, 'node' | 'holder'>,
): boolean {
  return use.node === node && use.holder === holder;
}

/** Who has come in under which name by a token that is still valid: such a node may not have registered yet. */
export function namesTakenBy(tokens: Iterable<JoinTokenRow>, nowMs: number): ReadonlyMap<string, string> {
  const taken = new Map<string, string>();
  for (const { expiresAtMs, usedBy } of tokens) {
    if (expiresAtMs <= nowMs) continue;
    for (const { node, holder } of usedBy) if (holder !== REMOVED_HOLDER) taken.set(node, holder);
  }
  return taken;
}
