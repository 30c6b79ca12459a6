import type { IdempotencyKey, Outcome } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

/**
 * Carries out a request once per key: a repeated one gets the first answer, the same key with another request is
 * refused. Only what succeeded is remembered (docs/contract.md, section 2).
 */
export function once<Result>(
  transaction: Transaction,
  idempotency: IdempotencyKey | null,
  carryOut: () => Outcome<Result>,
): Outcome {
  if (idempotency === null) return carryOut();
  const { key, requestDigest } = idempotency;
  const first = transaction.get('idempotency', key);
  if (first !== null) {
    if (first.requestDigest === requestDigest) return { type: 'done', result: first.answer };
    return refuse('idempotency_conflict', 'the idempotency key was used before, for another request');
  }
  const outcome = carryOut();
  if (outcome.type === 'done') {
    transaction.put('idempotency', key, {
      key,
      requestDigest,
      answer: outcome.result,
      atMs: transaction.nowMs,
    });
  }
  return outcome;
}

/** The same request, and no other by that key. */
export function forget(transaction: Transaction, { key, requestDigest }: IdempotencyKey): Outcome<null> {
  if (transaction.get('idempotency', key)?.requestDigest === requestDigest)
    transaction.delete('idempotency', key);
  return done(null);
}
