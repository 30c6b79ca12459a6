/** Which role each operation needs, and which ones change something. docs/security.md shows the same table. */
import type { RemoveNodeRequest } from '../generated/cluster.ts';
import type { Role } from '../model/token.ts';
import type { ClusterOperations } from './port.ts';

/** What a role is needed for. The version of a node is everybody's; how fresh a read is comes with the read. */
export type Operation = Exclude<keyof ClusterOperations, 'freshness' | 'version'>;

export interface Permission {
  /** The least role. */
  readonly role: Role;
  /** Recorded, whoever asks. */
  readonly changes: boolean;
  /** Whether its answer is a stream, which ends with the token. */
  readonly streams: boolean;
}

type Streams<K extends Operation> =
  ReturnType<ClusterOperations[K]> extends AsyncIterable<unknown> ? true : false;

const read = { role: 'viewer', changes: false, streams: false } as const;
const follow = { role: 'viewer', changes: false, streams: true } as const;
const submit = { role: 'submitter', changes: true, streams: false } as const;
const operate = { role: 'operator', changes: true, streams: false } as const;
const administer = { role: 'admin', changes: true, streams: false } as const;

/** An operation that stands not in it does not compile. */
export const PERMISSIONS = {
  submitTasks: submit,
  acceptTasks: submit,
  getTask: read,
  explainTask: read,
  planTasks: read,
  listTasks: read,
  cancelTask: submit,
  retryTask: submit,
  updateTask: submit,
  watchTask: follow,
  readLogs: follow,
  watchEvents: follow,
  submitBatch: submit,
  getBatch: read,
  listBatches: read,
  cancelBatch: submit,
  retryBatch: submit,
  submitDag: submit,
  getDag: read,
  listDags: read,
  cancelDag: submit,
  retryDag: submit,
  listNodes: read,
  getNode: read,
  getNodeUsage: read,
  getLogLevel: read,
  setLogLevel: administer,
  getTaskUsage: read,
  cordonNode: operate,
  drainNode: operate,
  undrainNode: operate,
  labelNode: operate,
  removeNode: operate,
  getCluster: read,
  changeMember: administer,
  transferLeadership: operate,
  // Everything that the cluster knows leaves it by this.
  saveSnapshot: { role: 'operator', changes: true, streams: true },
  getConfig: read,
  setConfig: administer,
  createJoinToken: administer,
  listJoinTokens: { role: 'admin', changes: false, streams: false },
  getJoinToken: { role: 'admin', changes: false, streams: false },
  deleteJoinToken: administer,
  listAlerts: read,
  testAlert: operate,
  getAutoscaler: read,
  listScalingDecisions: read,
  createToken: administer,
  listTokens: { role: 'admin', changes: false, streams: false },
  revokeToken: administer,
} as const satisfies { readonly [K in Operation]: Permission & { readonly streams: Streams<K> } };

/** An operator's word that a node is dead may run its tasks twice. */
const DEAD_NODE_ROLE: Role = 'admin';

/** @param request as the operation was given it */
export function leastRole(operation: Operation, request: unknown): Role {
  if (operation === 'removeNode' && (request as RemoveNodeRequest).dead) return DEAD_NODE_ROLE;
  return PERMISSIONS[operation].role;
}
