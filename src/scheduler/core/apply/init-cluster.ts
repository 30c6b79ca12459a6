import type { InitClusterCommand, Outcome } from '../../../model/commands.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

export function initCluster(transaction: Transaction, command: InitClusterCommand): Outcome {
  if (transaction.get('cluster', 'cluster') !== null) {
    return refuse('conflict', 'the cluster has been initialised already');
  }
  transaction.put('cluster', 'cluster', {
    clusterId: command.clusterId,
    epoch: command.epoch,
    formedAtMs: transaction.nowMs,
    timeMs: transaction.nowMs,
    assignmentCounter: 0,
    sessionCounter: 0,
    config: command.config,
  });
  return done(null);
}
