/** The question of a node that wants to be of a cluster, or to know what it is in it, as a call of another node. */
import { RaftService, type JoinRequest } from '../generated/raft.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { limits } from '../lib/limits.ts';
import type { NodeIdentity } from '../raft/data-directory.ts';
import type { AskToJoin } from '../raft/join-cluster.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';
import type { NodeConfig } from './config.ts';

/** @param timeoutMs of one node; a change of the membership takes longer than a question */
export function askToJoin(
  pool: ChannelPool,
  signal: AbortSignal,
  timeoutMs: number = limits.joinCallTimeoutMs,
): AskToJoin {
  return (address, request) =>
    unaryCall({ pool, address, method: RaftService.join, request, signal, timeoutMs, write: true });
}

/** Of one that the cluster has let in, and that wants to hear what it is: it is not let in anew where it was removed. */
export function knownNodeRequest(
  { name, advertise }: Pick<NodeConfig, 'name' | 'advertise'>,
  { incarnation, cluster }: NodeIdentity,
): Omit<JoinRequest, 'view_digest'> {
  return {
    name,
    incarnation,
    address: advertise,
    cluster_id: cluster?.clusterId ?? '',
    former_incarnation: incarnation,
    join_token: '',
    known_version: CLUSTER_VERSION,
    works_without_copy: true,
  };
}
