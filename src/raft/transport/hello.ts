/** The first word of a stream between members: who speaks, and whether that one may. */
import type { Hello } from '../../generated/raft.ts';
import { CLUSTER_VERSION, versionTold } from '../../lib/cluster-version.ts';
import type { RaftId } from '../core/types.ts';
import { isDecided } from '../membership.ts';
import type { Peer } from '../ports.ts';

export const RAFT_PROTOCOL = 1;

/** Who this node is in every hello that it sends. */
export interface TransportIdentity {
  readonly name: string;
  /** host:port under which others reach this node. */
  readonly address: string;
  readonly clusterId: string;
  readonly raftId: RaftId;
  readonly incarnation: string;
  readonly startCounter: number;
  readonly startId: string;
  /** Default: false. */
  readonly keepsLeases?: boolean;
  /** The newest cluster version that it knows; default: that of this build. */
  readonly knownVersion?: number;
}

/** What a node knows when it hears one. */
export interface Acquaintance {
  readonly identity: TransportIdentity;
  /** Members, and those that are taken for members to be. */
  readonly peers: ReadonlyMap<RaftId, Peer>;
  /** Of the entry that the members are known as of. */
  readonly membershipIndex: number;
  /** Whether one more may be taken for a member to be. */
  readonly hasRoom: boolean;
  /** The version of the cluster. */
  readonly requiredVersion: number;
}

/** With one of the codes of `HelloReply`. */
export interface HelloRefusal {
  readonly code: string;
  readonly message: string;
}

export function helloTo(to: RaftId, identity: TransportIdentity): Hello {
  return {
    protocol: RAFT_PROTOCOL,
    cluster_id: identity.clusterId,
    raft_id: identity.raftId,
    incarnation: identity.incarnation,
    start_counter: identity.startCounter,
    start_id: identity.startId,
    to,
    name: identity.name,
    address: identity.address,
    keeps_leases: identity.keepsLeases === true,
    known_version: knownVersionOf(identity),
  };
}

export function knownVersionOf({ knownVersion }: TransportIdentity): number {
  return knownVersion ?? CLUSTER_VERSION;
}

/** Whatever the start of the sender says, which is to be looked at last. @returns null where it may speak */
export function helloRefusal(hello: Hello, acquaintance: Acquaintance): HelloRefusal | null {
  const { identity, requiredVersion } = acquaintance;
  if (hello.protocol !== RAFT_PROTOCOL) {
    return {
      code: 'bad_protocol',
      message: `protocol ${hello.protocol}, this node speaks ${RAFT_PROTOCOL}`,
    };
  }
  if (hello.cluster_id !== identity.clusterId) {
    return {
      code: 'foreign_cluster',
      message: `cluster ${hello.cluster_id}, this node belongs to ${identity.clusterId}`,
    };
  }
  if (hello.to !== identity.raftId) {
    return { code: 'wrong_target', message: `meant for member ${hello.to}, this is ${identity.raftId}` };
  }
  const version = versionTold(hello.known_version);
  return versionRefusal(hello.name, version, requiredVersion) ?? strangerRefusal(hello, acquaintance);
}

/** Why a member that knows no later version is spoken with no more; null where it is. */
export function versionRefusal(name: string, known: number, required: number): HelloRefusal | null {
  if (known >= required) return null;
  return {
    code: 'old_version',
    message: `the cluster is at version ${required}, and ${name} knows version ${known} only: start it with a later build`,
  };
}

/**
 * A server takes messages from a leader that its own configuration does not hold yet (Raft paper, section 6): else one
 * that was away while the membership changed would refuse whoever could tell it.
 */
function strangerRefusal(
  { raft_id: raftId, incarnation, address, name }: Hello,
  { identity, peers, membershipIndex, hasRoom }: Acquaintance,
): HelloRefusal | null {
  const peer = peers.get(raftId);
  // Before its start is recorded: that would have the member itself taken for a copy.
  if (peer !== undefined && peer.name !== name)
    return { code: 'wrong_name', message: `member ${raftId} is ${peer.name}, and not ${name}` };
  if (peer !== undefined && peer.incarnation === incarnation) return null;
  if (peer === undefined && isDecided(raftId, membershipIndex))
    return { code: 'removed_member', message: `member ${raftId} was removed from the cluster` };
  if (peer !== undefined || raftId === identity.raftId || address === '' || !hasRoom)
    return { code: 'unknown_member', message: `member ${raftId} with that incarnation is not known` };
  return null;
}
