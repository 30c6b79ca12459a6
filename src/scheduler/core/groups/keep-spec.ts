import type { Transaction } from '../transaction.ts';

/** Memory gives up the specs of what is over: where a task begins that needs one again, it gets it back. */
export function keepSpec(transaction: Transaction, specId: string): void {
  const spec = transaction.get('spec', specId);
  if (spec !== null && !transaction.state.specs.has(specId)) transaction.put('spec', specId, { ...spec });
}
