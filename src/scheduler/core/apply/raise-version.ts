import { clusterVersionOf } from '../../../model/command-versions.ts';
import type { Outcome, RaiseVersionCommand } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

export function raiseVersion(transaction: Transaction, { version }: RaiseVersionCommand): Outcome<null> {
  const before = clusterVersionOf(transaction.cluster);
  if (!Number.isSafeInteger(version) || version <= before)
    return refuse('conflict', `version ${version} does not follow ${before}`);
  transaction.putCluster({ version });
  return done(null);
}
