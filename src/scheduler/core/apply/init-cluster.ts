import { invariant } from '../../../lib/assert.ts';
import { MAX_EPOCH } from '../../../lib/ids.ts';
import { nothingRetained } from '../../../model/cluster.ts';
import type { InitClusterCommand, Outcome } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

export function initCluster(transaction: Transaction, command: InitClusterCommand): Outcome<null> {
  if (transaction.get('cluster', 'cluster') !== null) {
    return refuse('conflict', 'the cluster has been initialised already');
  }
  const { clusterId, epoch, config, version } = command;
  invariant(Number.isSafeInteger(epoch) && epoch >= 0 && epoch <= MAX_EPOCH, 'the epoch fits ids');
  transaction.put('cluster', 'cluster', {
    clusterId,
    epoch,
    formedAtMs: transaction.nowMs,
    timeMs: transaction.nowMs,
    assignmentCounter: 0,
    sessionCounter: 0,
    config,
    ...(version === undefined ? {} : { version }),
    // The log of a cluster begins with its first entry: nothing came before.
    retained: nothingRetained(1),
  });
  return done(null);
}
