/** The autoscaler as a duty of the leader: what it needs of Raft, of the nodes and of those that let new ones in. */
import { Autoscaler, type AutoscalerObserver } from '../autoscaler/loop.ts';
import type { AutoscalerMembers, AutoscalerParts } from '../autoscaler/ports.ts';
import { AwsProvider } from '../autoscaler/providers/aws/aws-provider.ts';
import { ClusterProviders } from '../autoscaler/providers/cluster-providers.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import { copylessNodes } from '../model/copyless-node.ts';
import type { RaftNode } from '../raft/node.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import type { Replica } from '../scheduler/ports.ts';
import { defaultSettings } from '../spec/settings/settings.ts';
import { authRequired, type NodeConfig } from './config.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';
import { NodeDepartures } from './node-departures.ts';
import { ScalingJoinTokens } from './scaling-join-tokens.ts';
import { targetVotersOf } from './voter-keeper.ts';

export interface AutoscalingOptions {
  readonly config: NodeConfig;
  readonly clusterId: string;
  readonly replica: Replica;
  readonly raft: RaftNode;
  readonly pool: ChannelPool;
  /** Null: without TLS. */
  readonly tls: TlsSource | null;
  readonly silentMs: LeaderDuties['silentMs'];
  readonly observer: AutoscalerObserver;
  readonly clock: Clock;
  readonly log: Log;
}

export function autoscalerOf(options: AutoscalingOptions): Autoscaler {
  const { config, clusterId, replica, raft, pool, observer, clock, log } = options;
  const settings = (): Autoscaling =>
    replica.state.cluster?.config.autoscaling ?? defaultSettings(1).autoscaling;
  const aws = new AwsProvider({ clusterId, settings: () => settings().aws, clock });
  const parts: AutoscalerParts = {
    replica,
    clusterId,
    providers: new ClusterProviders({
      clusterId,
      pool,
      settings,
      addressOf: (node) => replica.state.nodes.get(node)?.address ?? null,
      clouds: new Map([['aws', aws]]),
    }),
    members: () => scalingMembers(replica, raft),
    voters: () => targetVotersOf(replica.state.cluster, raft.membership.peers.length),
    joinTokens: authRequired(config) ? new ScalingJoinTokens(options) : null,
    departures: new NodeDepartures(options),
    clock,
    log,
  };
  return new Autoscaler(parts, observer);
}

/** The members, and behind them who was let in without a copy. */
export function scalingMembers({ state }: Pick<Replica, 'state'>, raft: RaftNode): AutoscalerMembers {
  const { id, confState } = raft.status();
  const { peers } = raft.membership;
  const members = peers.map(({ raftId, name, address }) => ({
    name,
    address,
    hasCopy: true,
    isVoter: confState.voters.includes(raftId),
    isCaughtUp: raftId === id || (raft.isActive(raftId) && raft.isCaughtUp(raftId)),
  }));
  const without = { hasCopy: false, isVoter: false, isCaughtUp: false };
  const bare = copylessNodes(state, peers).map(({ name, address }) => ({ name, address, ...without }));
  return [...members, ...bare];
}
