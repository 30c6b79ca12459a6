/** Since which cluster version there is each command: a leader proposes none that a member may not know. */
import { FIRST_CLUSTER_VERSION } from '../lib/cluster-version.ts';
import type { ClusterRow } from './cluster.ts';
import type { Command } from './commands.ts';

/** A new command is of the version after the newest that was released; what is listed never changes. */
export const COMMAND_VERSIONS: Readonly<Record<Command['type'], number>> = {
  initCluster: 1,
  reformCluster: 1,
  leasesOver: 1,
  submitTasks: 1,
  submitMany: 1,
  cancelTask: 1,
  retryTask: 1,
  updateTask: 1,
  assign: 1,
  registerNode: 1,
  reconcileNode: 1,
  reportAttempts: 1,
  nodeHealth: 1,
  nodePressure: 1,
  nodeOffline: 1,
  removeNode: 1,
  cordonNode: 1,
  drainNode: 1,
  undrainNode: 1,
  labelNode: 1,
  drainOverdue: 1,
  nodeDrained: 1,
  retryDue: 1,
  setHeartbeat: 1,
  timeoutSettled: 1,
  grantGrace: 1,
  graceOver: 1,
  expire: 1,
  reserveNodes: 1,
  logsHandedOver: 1,
  submitBatch: 1,
  submitDag: 1,
  cancelGroup: 1,
  retryGroup: 1,
  advanceGroup: 1,
  // Proposed only once all members know what it raises to.
  raiseVersion: 1,
  rememberRequest: 2,
  forgetRequest: 2,
  setConfig: 2,
  createToken: 2,
  revokeToken: 2,
  expireTokens: 2,
  createJoinToken: 2,
  deleteJoinToken: 2,
  useJoinToken: 2,
  advanceAlerts: 2,
  quorumRisk: 2,
  autoscalerFailed: 2,
  autoscalerDecided: 2,
  instanceProgress: 2,
  barMember: 2,
  admitCopyless: 2,
  dismissCopyless: 2,
};

/**
 * Since which cluster version there is what else members of an earlier build would take for something else, or make something
 * else of: `sensitiveEnv` of a spec, whose values they would show; and memory in Mi and Gi in replicated texts.
 */
export const FEATURE_VERSIONS = { sensitiveEnv: 2, memoryUnits: 2 } as const;
type ClusterFeature = keyof typeof FEATURE_VERSIONS;

/** Rows of before there was any are of the first. */
export function clusterVersionOf(cluster: Pick<ClusterRow, 'version'> | null): number {
  return cluster?.version ?? FIRST_CLUSTER_VERSION;
}

/** Whether every member can apply such a command. */
export function clusterKnows(cluster: Pick<ClusterRow, 'version'> | null, type: Command['type']): boolean {
  return COMMAND_VERSIONS[type] <= clusterVersionOf(cluster);
}

/** Whether every member does the same about it. */
export function clusterHas(cluster: Pick<ClusterRow, 'version'> | null, feature: ClusterFeature): boolean {
  return FEATURE_VERSIONS[feature] <= clusterVersionOf(cluster);
}

/** A member that keeps the cluster from a later version. */
export interface Laggard {
  readonly name: string;
  /** What it knows; null: it is not heard of. */
  readonly version: number | null;
}

/** For people: why a command is not proposed. */
export function notKnownYet(
  cluster: Pick<ClusterRow, 'version'> | null,
  type: Command['type'],
  laggards: readonly Laggard[],
): string {
  const waits = laggards.map(({ name, version }) =>
    version === null ? `${name} is heard of` : `${name} is upgraded`,
  );
  const until = waits.length === 0 ? 'and about to be raised' : `until ${waits.join(' and ')}`;
  return `the cluster is at version ${clusterVersionOf(cluster)} ${until}: ${type} needs version ${COMMAND_VERSIONS[type]}`;
}
