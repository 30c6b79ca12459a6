import { MAX_EPOCH } from '../../../lib/ids.ts';
import type { Outcome, ReformClusterCommand } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

export function reformCluster(transaction: Transaction, command: ReformClusterCommand): Outcome<null> {
  const { clusterId, epoch } = command;
  const before = transaction.cluster;
  if (clusterId === before.clusterId) return refuse('conflict', `it is cluster ${clusterId} already`);
  if (!Number.isSafeInteger(epoch) || epoch <= before.epoch || epoch > MAX_EPOCH)
    return refuse('conflict', `epoch ${epoch} does not follow ${before.epoch}`);
  transaction.putCluster({ clusterId, epoch });
  return done(null);
}
