/** How this node speaks with the other members, and what it makes of their refusing it. */
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { ClusterRecord, DataDirectory } from '../raft/data-directory.ts';
import { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import { channelOptions } from '../rpc/channel.ts';
import type { NodeConfig } from './config.ts';
import type { NodeSecurity } from './node-security.ts';

export function memberTransport(options: {
  readonly config: NodeConfig;
  readonly directory: DataDirectory;
  readonly cluster: ClusterRecord;
  readonly security: NodeSecurity;
  /** A member holds a newer state of this one: it must not vote. @param reason as the end of a sentence about it */
  readonly onOldCopy: (reason: string) => void;
  readonly onRemoved: () => void;
  readonly clock: Clock;
  readonly log: Log;
}): GrpcTransport {
  const { config, directory, cluster, security, onOldCopy, onRemoved, clock, log } = options;
  return new GrpcTransport({
    identity: {
      clusterId: cluster.clusterId,
      name: config.name,
      address: config.advertise,
      raftId: cluster.raftId,
      incarnation: directory.identity.incarnation,
      startCounter: directory.startCounter,
      startId: directory.startId,
      keepsLeases: config.leaseReads,
    },
    recordStart: (incarnation, counter, startId) => directory.recordPeerStart(incarnation, counter, startId),
    onRefused: (code, message) => {
      if (code === 'old_copy')
        onOldCopy(`it is a copy or an older state of a member's, and must not vote: ${message}`);
      if (code === 'removed_member') onRemoved();
    },
    credentials: (peer) => security.channels.credentials(peer),
    channelOptions,
    clock,
    log,
    snapshotBytesPerSecond: config.snapshotBytesPerSecond,
  });
}
