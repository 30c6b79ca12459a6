import type {
  Outcome,
  SetConfigCommand,
  SetHeartbeatCommand,
  TimeoutSettledCommand,
} from '../../../model/commands.ts';
import { alertsOf } from '../../../model/alerts.ts';
import { settlingOf } from '../../../model/earlier-rows.ts';
import { clusterTimeoutMs, heartbeatFault } from '../../../model/timeouts.ts';
import { withdrawAlerts } from '../alerts/outbox.ts';
import type { Transaction } from '../transaction.ts';
import { once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';

export function setHeartbeat(transaction: Transaction, command: SetHeartbeatCommand): Outcome {
  return once(transaction, command.idempotency, () => change(transaction, command.heartbeat, {}));
}

/** All of it or nothing. */
export function setConfig(transaction: Transaction, command: SetConfigCommand): Outcome {
  return once(transaction, command.idempotency, () => change(transaction, command.heartbeat, command.blocks));
}

/**
 * The lease follows T at once. A shorter T does not: leases that were granted before last as long as they do, so the T
 * that covers them goes on, until a leader has counted it [SHORTWAIT]. A longer one comes with its longer lease, in this
 * one entry, and nobody grants that before it is applied [EXTCOMMIT].
 */
function change(
  transaction: Transaction,
  changes: SetConfigCommand['heartbeat'],
  blocks: SetConfigCommand['blocks'],
): Outcome {
  const { cluster } = transaction;
  const heartbeat = { ...cluster.config.heartbeat, ...changes };
  const fault = heartbeatFault(heartbeat);
  if (fault !== null) return refuse('invalid', `heartbeat: ${fault}`);
  const config = { ...cluster.config, ...blocks, heartbeat };
  withdrawAlerts(transaction, alertsOf(config));
  if (heartbeat.timeoutMs === cluster.config.heartbeat.timeoutMs) {
    transaction.putCluster({ config });
    return done(null);
  }
  const inForceMs = clusterTimeoutMs(cluster);
  // Counted anew after each change: within a count a lease between the two may have been granted.
  const settling =
    heartbeat.timeoutMs < inForceMs ? { timeoutMs: inForceMs, index: transaction.entry.index } : null;
  transaction.putCluster({ config, settling });
  return done(null);
}

/** The shorter T counts from now on: what was granted under the longer one is over. */
export function timeoutSettled(transaction: Transaction, { index }: TimeoutSettledCommand): Outcome<null> {
  if (settlingOf(transaction.cluster)?.index !== index)
    return refuse('conflict', `the timeout was changed again after entry ${index}`);
  transaction.putCluster({ settling: null });
  return done(null);
}
