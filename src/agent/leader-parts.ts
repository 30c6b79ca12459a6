/** What a node does while it leads. */
import type { Autoscaler } from '../autoscaler/loop.ts';
import { measuredLoadOf } from '../operations/nodes.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import type { RaftNode } from '../raft/node.ts';
import type { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { SchedulingLoop } from '../scheduler/loop.ts';
import { Retention } from '../scheduler/retention.ts';
import { adminTokenFile } from './admin-token-file.ts';
import { alertDuties } from './alerts/duties.ts';
import { autoscalerOf } from './autoscaling.ts';
import { authRequired } from './config.ts';
import { Entrance } from './entrance.ts';
import { DrainKeeper } from './leader/drain-keeper.ts';
import { LeaderDuties } from './leader/leader-duties.ts';
import { LeaseSettler } from './leader/lease-settler.ts';
import { SessionService } from './leader/session-service.ts';
import { TimeoutSettler } from './leader/timeout-settler.ts';
import { TokenKeeper } from './leader/token-keeper.ts';
import { VersionKeeper } from './leader/version-keeper.ts';
import { HandOverRequests } from './logs/hand-over-service.ts';
import type { NodeParts } from './node-parts.ts';
import type { ClusterReplica } from './replica.ts';
import { versionsOf } from './version-watch.ts';
import { learnersAllowed, VoterKeeper } from './voter-keeper.ts';

interface LeadingMember {
  readonly replica: ClusterReplica;
  readonly cluster: ClusterRecord;
  /** Of a cluster that it forms. */
  readonly clusterVersion: number;
  readonly raft: RaftNode;
  readonly transport: GrpcTransport;
  readonly pool: ChannelPool;
}

export interface LeaderParts {
  readonly autoscaler: Autoscaler;
  readonly duties: LeaderDuties;
  readonly sessions: SessionService;
  readonly entrance: Entrance;
}

export function leaderParts(node: NodeParts, member: LeadingMember): LeaderParts {
  const { config, security, clock, log, metrics, closing } = node;
  const { replica, cluster, raft, pool } = member;
  const autoscaler = autoscalerOf({
    config,
    clusterId: cluster.clusterId,
    replica,
    raft,
    pool,
    tls: security.tls,
    // Asked only while it leads, which is after the duties have begun.
    silentMs: (name) => duties.silentMs(name),
    observer: metrics.autoscaler,
    clock,
    log,
  });
  metrics.scales(autoscaler, replica);
  const voters = new VoterKeeper({ replica, raft, clock, log });
  const duties: LeaderDuties = leaderDuties(node, { ...member, autoscaler, voters });
  const sessions = new SessionService({
    replica,
    accept: (call) => duties.accept(call),
    credentials: () => security.channels.credentials(),
    log,
  });
  closing('sessions', () => sessions.close());
  const entrance = new Entrance({
    raft,
    replica,
    learnersAllowed: () => learnersAllowed(replica.state.cluster, raft),
    learnersWanted: () => voters.learnersWanted(),
    silentMs: (name) => duties.silentMs(name),
  });
  return { autoscaler, duties, sessions, entrance };
}

function leaderDuties(
  { config, version, clock, log, metrics, closing }: NodeParts,
  {
    replica,
    cluster,
    clusterVersion,
    raft,
    transport,
    pool,
    autoscaler,
    voters,
  }: LeadingMember & { readonly autoscaler: Autoscaler; readonly voters: VoterKeeper },
): LeaderDuties {
  const parts = { replica, clock, log };
  const scheduling = new SchedulingLoop({
    ...parts,
    // Asked only while it leads, which is after the duties have begun.
    loadOf: (node: string) => measuredLoadOf(duties.usage(node)),
    onAssigned: (tasks, durationMs) => metrics.tasks.assigned(tasks, durationMs),
  });
  const tokens = new TokenKeeper({
    ...parts,
    isRequired: authRequired(config),
    file: adminTokenFile(config.dataDir),
  });
  closing('tokens', () => tokens.close());
  const handOver = new HandOverRequests({ clusterId: cluster.clusterId, replica, pool, log });
  const duties: LeaderDuties = new LeaderDuties({
    ...parts,
    formation: {
      clusterId: cluster.clusterId,
      epoch: cluster.epoch,
      config: config.cluster,
      version: clusterVersion,
    },
    duties: [
      new VersionKeeper({ ...parts, others: () => versionsOf(raft, transport) }),
      new LeaseSettler(parts),
      new TimeoutSettler(parts),
      scheduling,
      voters,
      new DrainKeeper({ ...parts, handOver }),
      new Retention(parts),
      ...alertDuties({ ...parts, raft, version }),
      tokens,
      autoscaler,
    ],
  });
  closing('duties', () => duties.close());
  return duties;
}
