import { limits } from '../../../lib/limits.ts';
import type { AdmitCopylessCommand, DismissCopylessCommand, Outcome } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

/** Takes the place of another of its name: whether that may be is for whoever lets it in to know. */
export function admitCopyless(transaction: Transaction, command: AdmitCopylessCommand): Outcome<null> {
  const { name, incarnation, address } = command;
  const before = transaction.get('copylessNode', name);
  if (before?.incarnation === incarnation && before.address === address) return done(null);
  if (before === null && transaction.state.copylessNodes.size >= limits.copylessNodes)
    return refuse('conflict', `${limits.copylessNodes} nodes work without a copy already, which is the most`);
  const admittedAtMs = before?.incarnation === incarnation ? before.admittedAtMs : transaction.nowMs;
  transaction.put('copylessNode', name, { name, incarnation, address, admittedAtMs });
  return done(null);
}

/** It was removed, or is a member from now on. Again, it changes nothing. */
export function dismissCopyless(transaction: Transaction, { name }: DismissCopylessCommand): Outcome<null> {
  if (transaction.get('copylessNode', name) !== null) transaction.delete('copylessNode', name);
  return done(null);
}
