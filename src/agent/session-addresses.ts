/** Where a member looks for the leader of its worker's session. */
import type { RaftNode } from '../raft/node.ts';
import type { NodeConfig } from './config.ts';
import type { ClusterReplica } from './replica.ts';

/** The leader itself, if it is known; then this node, which forwards as soon as it knows; then the others. */
export function sessionAddresses(
  { advertise, peers, join }: NodeConfig,
  replica: ClusterReplica,
  raft: RaftNode,
): readonly string[] {
  const { leader } = replica.leadership();
  const others = [...raft.membership.peers, ...peers].map(({ address }) => address);
  return [...new Set([...(leader === null ? [] : [leader.address]), advertise, ...others, ...join])];
}
