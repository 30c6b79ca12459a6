/** How a blank node comes to a cluster: it founds one with its peers, or becomes a member of one that runs. */
import { RaftService } from '../generated/raft.ts';
import type { Clock } from '../lib/clock.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { LOST_DISK } from '../raft/bootstrap.ts';
import type { ClusterRecord, DataDirectory } from '../raft/data-directory.ts';
import { peerFromWire, type ClusterFormation } from '../raft/form-cluster.ts';
import { joinCluster, type Place } from '../raft/join-cluster.ts';
import type { Peer } from '../raft/ports.ts';
import type { ChannelPool } from '../rpc/channel.ts';
import { unaryCall } from '../rpc/client.ts';
import { askToJoin } from './ask-to-join.ts';
import type { NodeConfig } from './config.ts';
import { isOfCluster } from './enrolment/with-certificate.ts';
import { joinTokenOf } from './join-credentials.ts';
import { newEpoch } from './leader/leader-duties.ts';

export interface EntranceOptions {
  readonly config: NodeConfig;
  readonly directory: DataDirectory;
  readonly formation: ClusterFormation;
  readonly pool: ChannelPool;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Log;
  /** What it waits for, in a sentence. */
  readonly onWaiting: (reason: string) => void;
}

/**
 * Resolves once the data directory belongs to a cluster, on disk.
 * @throws JarvisError conflict where it never can; the signal's reason when aborted
 */
export async function enterCluster(options: EntranceOptions): Promise<ClusterRecord> {
  const { config, log } = options;
  if (config.join.length > 0) return await join(config.join, options);
  const founded = await form(options);
  if (founded !== LOST_DISK) return founded;
  log.warn({}, 'the cluster knows this node with another data directory: it joins anew, as a learner');
  const others = config.peers.filter(({ name }) => name !== config.name).map(({ address }) => address);
  return await join(others, options);
}

async function form(options: EntranceOptions): Promise<ClusterRecord | typeof LOST_DISK> {
  const { directory, formation, pool, clock, signal, log } = options;
  options.onWaiting('the cluster is forming: not every peer has answered yet');
  const formed = await formation.form({
    ask: (peer, request) =>
      unaryCall({
        pool,
        address: peer.address,
        node: peer.name,
        method: RaftService.bootstrap,
        request,
        signal,
        timeoutMs: limits.bootstrapCallTimeoutMs,
        write: false,
      }),
    clock,
    signal,
  });
  if (formed === LOST_DISK) return formed;
  const own = formed.founders.find(({ incarnation }) => incarnation === directory.identity.incarnation);
  const record: ClusterRecord = {
    clusterId: formed.clusterId,
    epoch: newEpoch(clock.wallMs()),
    founders: [...formed.founders],
    raftId: own?.raftId ?? 0,
  };
  await directory.formCluster(record);
  log.info({ cluster: record.clusterId, raftId: record.raftId }, 'the cluster has formed');
  return record;
}

/**
 * A member that was started under another address than the others know tells the leader; they learn of it by the log.
 * Resolves when that is done, or the signal is aborted.
 */
export async function announceAddress(
  options: Pick<EntranceOptions, 'config' | 'directory' | 'pool' | 'clock' | 'signal' | 'log'>,
  members: readonly Peer[],
): Promise<void> {
  const { config, directory, signal, log } = options;
  const own = members.find(({ incarnation }) => incarnation === directory.identity.incarnation);
  if (own === undefined || own.address === config.advertise) return;
  log.info({ from: own.address, to: config.advertise }, 'this node has moved, and tells the leader');
  try {
    await ask(addressesToTell(config, members), options);
  } catch (error) {
    if (!signal.aborted) log.error({ error: messageOf(error) }, 'the new address was not taken');
  }
}

/**
 * Others may have moved too, and their new addresses stand in a part of the log that counts only once this node hears from
 * them: those that its settings say are tried as well.
 */
export function addressesToTell(
  { name, peers, join: settled, advertise }: Pick<NodeConfig, 'name' | 'peers' | 'join' | 'advertise'>,
  members: readonly Pick<Peer, 'name' | 'address'>[],
): readonly string[] {
  const others = [...members, ...peers].filter((one) => one.name !== name).map(({ address }) => address);
  return [...new Set([...others, ...settled, advertise])];
}

async function join(addresses: readonly string[], options: EntranceOptions): Promise<ClusterRecord> {
  const { directory, formation, log } = options;
  options.onWaiting(`no member has let this node in yet: ${addresses.join(', ')}`);
  const { record, view } = await ask(addresses, options);
  await directory.takeRole(record, view === null ? null : view.members.map(peerFromWire));
  formation.joined(record);
  const { clusterId: cluster, raftId } = record;
  if (view === null) log.info({ cluster, raftId }, 'this node has joined');
  else log.info({ cluster }, 'this node has joined, and works without a copy of the state');
  return record;
}

async function ask(
  addresses: readonly string[],
  {
    config,
    directory,
    pool,
    clock,
    signal,
    log,
  }: Pick<EntranceOptions, 'config' | 'directory' | 'pool' | 'clock' | 'signal' | 'log'>,
): Promise<Place> {
  // Where its certificate was given for the token, that has been counted already.
  const showsToken = directory.identity.cluster === null && !isOfCluster(config);
  return await joinCluster({
    request: {
      name: config.name,
      incarnation: directory.identity.incarnation,
      address: config.advertise,
      cluster_id: directory.identity.cluster?.clusterId ?? '',
      former_incarnation: '',
      join_token: showsToken ? (joinTokenOf(config)?.text ?? '') : '',
      known_version: CLUSTER_VERSION,
      works_without_copy: directory.identity.cluster === null,
      view_digest: '',
    },
    addresses,
    ask: askToJoin(pool, signal),
    clock,
    signal,
    log,
  });
}
