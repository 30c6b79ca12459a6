import { limits } from '../../../lib/limits.ts';
import type { BarMemberCommand, Outcome } from '../../../model/commands.ts';
import { REMOVED_HOLDER } from '../../../model/join-token.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';

/** From now on neither a certificate with that name nor the token that it came in by lets anybody in. Of too many, the one goes that was removed first. */
export function barMember(transaction: Transaction, { name }: BarMemberCommand): Outcome<null> {
  const { nowMs, state } = transaction;
  transaction.put('formerMember', name, { name, removedAtMs: nowMs });
  const others = [...state.formerMembers.values()].filter((former) => former.name !== name);
  // The order of a map must not count.
  others.sort((a, b) => a.removedAtMs - b.removedAtMs || (a.name < b.name ? -1 : 1));
  for (const former of others.slice(0, Math.max(0, others.length + 1 - limits.formerMembers)))
    transaction.delete('formerMember', former.name);
  endUses(transaction, name);
  return done(null);
}

function endUses(transaction: Transaction, name: string): void {
  const tokens = [...transaction.state.joinTokens.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const token of tokens) {
    if (!token.usedBy.some(({ node }) => node === name)) continue;
    const usedBy = token.usedBy.map((use) => (use.node === name ? { ...use, holder: REMOVED_HOLDER } : use));
    transaction.put('joinToken', token.id, { ...token, usedBy });
  }
}

/** An admin has let one of that name in. */
export function unbarMember(transaction: Transaction, name: string): void {
  if (transaction.get('formerMember', name) !== null) transaction.delete('formerMember', name);
}
