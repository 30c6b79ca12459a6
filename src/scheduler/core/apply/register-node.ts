import type { Outcome, RegisterNodeCommand } from '../../../model/commands.ts';
import type { NodeRow } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { done, refuse } from './outcomes.ts';

const SESSIONS_PER_EPOCH = 2 ** 29;

/**
 * A session is one start of a daemon (leases.md, rule 7): the same start keeps its session over any number of
 * connections, another start ends it. What ran for earlier sessions is judged by the inventory that follows.
 */
export function registerNode(transaction: Transaction, command: RegisterNodeCommand): Outcome {
  const known = transaction.get('node', command.name);
  if (known !== null && known.incarnation !== command.incarnation) {
    const open = [...transaction.state.tasksOn(command.name)].length;
    // Another incarnation proves nothing about what the earlier one runs (leases.md, rule 20).
    if (known.sessionOpen || open > 0) {
      return refuse(
        'conflict',
        `node ${command.name} is known with another data directory (incarnation ${known.incarnation}), which ` +
          'is not known to be gone',
      );
    }
  }
  const sameStart = known !== null && known.sessionOpen && known.startId === command.startId;
  const row: NodeRow = {
    name: command.name,
    incarnation: command.incarnation,
    machineId: command.machineId,
    bootId: command.bootId,
    startId: command.startId,
    session: sameStart ? known.session : nextSession(transaction),
    sessionOpen: true,
    reconciled: sameStart && known.reconciled,
    status: known?.status ?? 'AVAILABLE',
    schedulable: known?.schedulable ?? true,
    version: command.version,
    address: command.address,
    http: command.http,
    labels: command.labels,
    drivers: command.drivers,
    isolation: command.isolation,
    capacity: command.capacity,
    joinedAtMs: known?.joinedAtMs ?? transaction.nowMs,
  };
  transaction.put('node', command.name, row);
  return done({ session: row.session });
}

function nextSession(transaction: Transaction): number {
  const { epoch, sessionCounter } = transaction.cluster;
  transaction.putCluster({ sessionCounter: sessionCounter + 1 });
  return epoch * SESSIONS_PER_EPOCH + sessionCounter + 1;
}
