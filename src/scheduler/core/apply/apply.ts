/**
 * What every replica does with a committed command, in log order. It reads nothing but its arguments: time is the
 * command's stamp, ids come from the entry's position. A refusal is a value; a throw is a bug, which changes nothing.
 */
import { unreachable } from '../../../lib/assert.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Command, Outcome } from '../../../model/commands.ts';
import { blueprintKey } from '../../../model/group.ts';
import type { GroupRef } from '../../../model/group.ts';
import type { RowChange, RowKey } from '../../../model/rows.ts';
import { settleGroups } from '../groups/settle.ts';
import type { ClusterState } from '../state.ts';
import { Transaction, type EntryPosition, type LoadedRows } from '../transaction.ts';
import { raiseAlerts } from '../alerts/outbox.ts';
import { advanceAlerts, quorumRisk } from './alerts.ts';
import { assign } from './assign.ts';
import { advanceGroup, cancelGroup, retryGroup } from './change-group.ts';
import { cancelTask } from './cancel-task.ts';
import { keepJournal } from '../journal.ts';
import { cordonNode, drainNode, undrainNode } from './drain-node.ts';
import { drainOverdue, nodeDrained } from './drain-steps.ts';
import { expire, rowsOfExpiry } from './expire.ts';
import { barMember } from './former-members.ts';
import { admitCopyless, dismissCopyless } from './copyless-nodes.ts';
import { reserveNodes, settleHeads } from './heads.ts';
import { initCluster } from './init-cluster.ts';
import { createJoinToken, deleteJoinToken, useJoinToken } from './join-tokens.ts';
import { labelNode } from './label-node.ts';
import { logsHandedOver } from './logs-handed-over.ts';
import { nodeHealth, nodeOffline, nodePressure } from './node-health.ts';
import { forget, once } from './idempotency.ts';
import { done, refuse } from './outcomes.ts';
import { reconcileNode } from './reconcile-node.ts';
import { leasesOver, reformCluster } from './reform-cluster.ts';
import { registerNode } from './register-node.ts';
import { removeNode } from './remove-node.ts';
import { reportAttempts } from './report-attempts.ts';
import { graceOver, grantGrace } from './restart-grace.ts';
import { retryTask } from './retry-task.ts';
import { updateTask } from './update-task.ts';
import { raiseVersion } from './raise-version.ts';
import { retryDue } from './retry-due.ts';
import { autoscalerDecided, autoscalerFailed, instanceProgress } from './scaling.ts';
import { setConfig, setHeartbeat, timeoutSettled } from './set-config.ts';
import { submitBatch, submitDag } from './submit-group.ts';
import { submitMany, submitTasks } from './submit-tasks.ts';
import { createToken, expireTokens, revokeToken } from './tokens.ts';

export interface ApplyResult {
  readonly outcome: Outcome;
  readonly changes: readonly RowChange[];
  /** The command threw: a bug, to be counted and shouted about; every replica has discarded its changes. */
  readonly poisoned: boolean;
}

export function apply(
  state: ClusterState,
  command: Command,
  entry: EntryPosition,
  loaded: LoadedRows,
): ApplyResult {
  const transaction = new Transaction({ state, entry, atMs: command.atMs, loaded });
  let outcome: Outcome;
  try {
    outcome = carryOut(transaction, command);
    if (outcome.type === 'done') conclude(transaction, command);
  } catch (error) {
    return { outcome: refuse('internal', messageOf(error)), changes: [], poisoned: true };
  }
  if (outcome.type === 'refused') return { outcome, changes: [], poisoned: false };
  const changes = transaction.changes();
  state.commit(changes);
  return { outcome, changes, poisoned: false };
}

/** What follows from any change. */
function conclude(transaction: Transaction, command: Command): void {
  settleGroups(transaction, groupNamedBy(command));
  settleHeads(transaction);
  if (transaction.cluster.timeMs < transaction.nowMs) transaction.putCluster({ timeMs: transaction.nowMs });
  raiseAlerts(transaction, keepJournal(transaction));
}

function carryOut(transaction: Transaction, command: Command): Outcome {
  // [APPLYTERM]
  if ('term' in command && command.term !== transaction.entry.term) {
    return refuse('stale_decision', `decided in term ${command.term}, appended in ${transaction.entry.term}`);
  }
  if (command.type !== 'initCluster' && transaction.get('cluster', 'cluster') === null) {
    return refuse('conflict', 'the cluster has not been initialised');
  }
  switch (command.type) {
    case 'initCluster':
      return initCluster(transaction, command);
    case 'reformCluster':
      return reformCluster(transaction, command);
    case 'leasesOver':
      return leasesOver(transaction, command);
    case 'submitTasks':
      return submitTasks(transaction, command);
    case 'submitMany':
      return submitMany(transaction, command);
    case 'cancelTask':
      return cancelTask(transaction, command);
    case 'retryTask':
      return retryTask(transaction, command);
    case 'updateTask':
      return updateTask(transaction, command);
    case 'assign':
      return assign(transaction, command);
    case 'registerNode':
      return registerNode(transaction, command);
    case 'reconcileNode':
      return reconcileNode(transaction, command);
    case 'reportAttempts':
      return reportAttempts(transaction, command);
    case 'nodeHealth':
      return nodeHealth(transaction, command);
    case 'nodeOffline':
      return nodeOffline(transaction, command);
    case 'removeNode':
      return removeNode(transaction, command);
    case 'cordonNode':
      return cordonNode(transaction, command);
    case 'drainNode':
      return drainNode(transaction, command);
    case 'undrainNode':
      return undrainNode(transaction, command);
    case 'labelNode':
      return labelNode(transaction, command);
    case 'rememberRequest':
      return once(transaction, command.idempotency, () => done(command.answer));
    case 'forgetRequest':
      return forget(transaction, command.idempotency);
    case 'drainOverdue':
      return drainOverdue(transaction, command);
    case 'nodeDrained':
      return nodeDrained(transaction, command);
    case 'retryDue':
      return retryDue(transaction, command);
    case 'setHeartbeat':
      return setHeartbeat(transaction, command);
    case 'setConfig':
      return setConfig(transaction, command);
    case 'timeoutSettled':
      return timeoutSettled(transaction, command);
    case 'grantGrace':
      return grantGrace(transaction, command);
    case 'nodePressure':
      return nodePressure(transaction, command);
    case 'graceOver':
      return graceOver(transaction, command);
    case 'expire':
      return expire(transaction, command);
    case 'reserveNodes':
      return reserveNodes(transaction, command);
    case 'logsHandedOver':
      return logsHandedOver(transaction, command);
    case 'createToken':
      return createToken(transaction, command);
    case 'revokeToken':
      return revokeToken(transaction, command);
    case 'expireTokens':
      return expireTokens(transaction, command);
    case 'submitBatch':
      return submitBatch(transaction, command);
    case 'submitDag':
      return submitDag(transaction, command);
    case 'cancelGroup':
      return cancelGroup(transaction, command);
    case 'retryGroup':
      return retryGroup(transaction, command);
    case 'advanceGroup':
      return advanceGroup(transaction, command);
    case 'createJoinToken':
      return createJoinToken(transaction, command);
    case 'deleteJoinToken':
      return deleteJoinToken(transaction, command);
    case 'useJoinToken':
      return useJoinToken(transaction, command);
    case 'advanceAlerts':
      return advanceAlerts(transaction, command);
    case 'quorumRisk':
      return quorumRisk(transaction, command);
    case 'autoscalerFailed':
      return autoscalerFailed(transaction, command);
    case 'autoscalerDecided':
      return autoscalerDecided(transaction, command);
    case 'instanceProgress':
      return instanceProgress(transaction, command);
    case 'barMember':
      return barMember(transaction, command);
    case 'admitCopyless':
      return admitCopyless(transaction, command);
    case 'dismissCopyless':
      return dismissCopyless(transaction, command);
    case 'raiseVersion':
      return raiseVersion(transaction, command);
    default:
      return unreachable(command);
  }
}

function groupNamedBy(command: Command): GroupRef | null {
  switch (command.type) {
    case 'cancelGroup':
    case 'retryGroup':
    case 'advanceGroup':
      return { table: command.table, id: command.id };
    default:
      return null;
  }
}

/** Rows that `apply` will want and that memory may not hold; the shell loads them first. */
export function rowsNamedBy(command: Command): readonly RowKey[] {
  switch (command.type) {
    case 'submitTasks':
      return idempotencyRow(command.idempotency);
    case 'submitMany':
      return command.submissions.flatMap(({ idempotency }) => idempotencyRow(idempotency));
    case 'cancelTask':
      return [{ table: 'task', key: command.taskId }, ...idempotencyRow(command.idempotency)];
    case 'retryTask':
      return [
        { table: 'task', key: command.taskId },
        { table: 'spec', key: command.specId },
        ...groupRowOf(command.group ?? null),
        ...idempotencyRow(command.idempotency),
      ];
    case 'updateTask':
      return [
        { table: 'task', key: command.taskId },
        { table: 'spec', key: command.specId },
        ...idempotencyRow(command.idempotency),
      ];
    case 'removeNode':
    case 'cordonNode':
    case 'drainNode':
    case 'undrainNode':
    case 'labelNode':
    case 'rememberRequest':
    case 'forgetRequest':
    case 'setHeartbeat':
    case 'createToken':
    case 'revokeToken':
    case 'setConfig':
    case 'createJoinToken':
    case 'deleteJoinToken':
      return idempotencyRow(command.idempotency);
    case 'expire':
      return rowsOfExpiry(command);
    case 'reportAttempts':
      return command.reports.map(({ taskId }) => ({ table: 'task', key: taskId }));
    case 'submitBatch':
      return idempotencyRow(command.idempotency);
    case 'submitDag':
      return [{ table: 'dagName', key: command.name }, ...idempotencyRow(command.idempotency)];
    case 'cancelGroup':
      return [{ table: command.table, key: command.id }, ...idempotencyRow(command.idempotency)];
    case 'retryGroup':
      return [...groupRows(command), ...idempotencyRow(command.idempotency)];
    case 'advanceGroup':
      return [...groupRows(command), { table: 'blueprint', key: blueprintKey(command.id, command.at) }];
    default:
      return [];
  }
}

function idempotencyRow(idempotency: { readonly key: string } | null): readonly RowKey[] {
  return idempotency === null ? [] : [{ table: 'idempotency', key: idempotency.key }];
}

/** With its graph, if it has one. */
function groupRowOf(group: GroupRef | null): readonly RowKey[] {
  if (group === null) return [];
  const { table, id: key } = group;
  return table === 'batch'
    ? [{ table, key }]
    : [
        { table, key },
        { table: 'graph', key },
      ];
}

/** The group, and its tasks that are over, with their specs. */
function groupRows({ table, id, taskIds }: GroupRef & { readonly taskIds: readonly string[] }): RowKey[] {
  const group: RowKey[] = [
    { table, key: id },
    { table: 'spec', key: id },
    { table: 'graph', key: id },
  ];
  return [
    ...group,
    ...taskIds.flatMap((key): RowKey[] => [
      { table: 'task', key },
      { table: 'spec', key },
    ]),
  ];
}
