import { MAX_EPOCH } from '../../../lib/ids.ts';
import type { LeasesOverCommand, Outcome, ReformClusterCommand } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

export function reformCluster(transaction: Transaction, command: ReformClusterCommand): Outcome<null> {
  const { clusterId, epoch } = command;
  const before = transaction.cluster;
  if (clusterId === before.clusterId) return refuse('conflict', `it is cluster ${clusterId} already`);
  if (!Number.isSafeInteger(epoch) || epoch <= before.epoch || epoch > MAX_EPOCH)
    return refuse('conflict', `epoch ${epoch} does not follow ${before.epoch}`);
  // What the autoscaler of the earlier cluster has asked for is tagged as that one's, and no part of this one.
  // The order of a map must not count.
  for (const id of [...transaction.state.instances.keys()].sort()) transaction.delete('instance', id);
  // Nor is who was let in there.
  for (const name of [...transaction.state.copylessNodes.keys()].sort())
    transaction.delete('copylessNode', name);
  transaction.putCluster({ clusterId, epoch, awaitsLeases: true });
  return done(null);
}

/** From now on tasks may be assigned, also those that an earlier cluster may have run. */
export function leasesOver(transaction: Transaction, _command: LeasesOverCommand): Outcome<null> {
  if (transaction.cluster.awaitsLeases === true) transaction.putCluster({ awaitsLeases: false });
  return done(null);
}
