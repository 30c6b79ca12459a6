/**
 * A node that works without a copy of the state (docs/adr/0013): no log, no replica, no vote. It runs tasks as every node does, and sends on
 * what it is asked.
 */
import { isDeepStrictEqual } from 'node:util';

import type { JoinRequest, JoinReply } from '../../generated/raft.ts';
import { CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { LogLevels } from '../../lib/log-levels.ts';
import type { HttpServer } from '../../http/server.ts';
import type { Readiness } from '../../operations/port.ts';
import type { ClusterRecord, DataDirectory } from '../../raft/data-directory.ts';
import { MemberRemovedError } from '../../raft/node.ts';
import type { ChannelPool } from '../../rpc/channel.ts';
import { clusterService, nodeLogsService } from '../../rpc/cluster-service.ts';
import type { RpcServer } from '../../rpc/server.ts';
import { askToJoin } from '../ask-to-join.ts';
import { renewalOf } from '../enrolment/enrolment-parts.ts';
import { drainBeforeExit } from '../exit-drain.ts';
import type { Guarding } from '../guarding.ts';
import { CLOSE_GRACE_MS } from '../listeners.ts';
import { NodeLogs } from '../logs/node-logs.ts';
import type { MemberServices } from '../member-services.ts';
import { type ResourceMonitor, usageOf } from '../monitor/resource-monitor.ts';
import type { NodeParts } from '../node-parts.ts';
import { nodeProviderService } from '../node-providers.ts';
import { startWorker } from '../start-worker.ts';
import type { StartingOperations } from '../starting-operations.ts';
import type { WorkerAgent } from '../worker/worker-agent.ts';
import { ClusterWatch } from './cluster-watch.ts';
import { copylessOperations } from './copyless-operations.ts';
import { COPYLESS_LIMITS } from './limits.ts';

/** It is something else in its cluster from now on, and has to be started again. */
export class RoleChangedError extends JarvisError {
  constructor() {
    super('unavailable', 'this node has another role from now on');
  }
}

export interface CopylessEntered {
  readonly directory: DataDirectory;
  readonly cluster: ClusterRecord;
  readonly pool: ChannelPool;
  readonly services: MemberServices;
  readonly operations: StartingOperations;
  readonly http: HttpServer;
  readonly rpc: RpcServer;
  readonly guarding: Guarding;
  readonly logLevels: LogLevels;
  readonly signal: AbortSignal;
  /** The node cannot go on as it is. */
  readonly onFailure: (error: unknown) => void;
}

export interface CopylessNode {
  readonly readiness: () => Readiness;
  readonly drain: (signal: AbortSignal) => Promise<void>;
  /** Where a node that wants in has to ask. */
  readonly admission: { answer(request: JoinRequest): Promise<JoinReply> };
}

export async function serveWithoutCopy(node: NodeParts, entered: CopylessEntered): Promise<CopylessNode> {
  const { config, clock, log, closing } = node;
  const { directory, cluster, pool, services, operations, http, rpc, guarding, logLevels } = entered;
  const watch = clusterWatch(node, entered);
  closing('cluster watch', () => watch.close());
  beginRenewal(node, entered, watch);
  const logs = new NodeLogs({
    dataDirectory: config.dataDir,
    clusterId: cluster.clusterId,
    incarnation: directory.identity.incarnation,
    mayBeSilent: config.drivers?.includes('noop') === true,
    cluster: logsClusterOf(watch),
    pool,
    clock,
    log,
  });
  let monitor: ResourceMonitor | null = null;
  const routing = copylessOperations(node, {
    leaders: watch,
    pool,
    localLogs: logs.local,
    localUsage: usageOf(() => monitor),
    logLevels,
  });
  const open = routing;
  operations.become(open);
  const { guard } = guarding;
  services.cluster.become(clusterService(open, log, guard));
  services.logs.become(nodeLogsService(logs.local, log, guard));
  services.handOver.become(logs.service);
  services.instances.become(nodeProviderService({ config, clusterId: cluster.clusterId, clock, log }));
  watch.start();
  const worker = await startWorker(node, {
    directory,
    sessionAddresses: () => {
      // A session that is to be opened anew: the leader may be another one.
      watch.hurry();
      return sessionAddresses(watch);
    },
    onSynced: () => undefined,
    logs,
    onMonitor: (started) => (monitor = started),
  });
  closing('logs', () => logs.close());
  await logs.start();
  // First of all, while everything that the requests under way need is there.
  closing('HTTP', () => http.close(CLOSE_GRACE_MS));
  closing('streams', () => rpc.endStreams());
  log.info(
    { listen: config.listen, http: config.http, cluster: cluster.clusterId },
    'the node is up, without a copy',
  );
  const { name, drainDeadlineMs: deadlineMs } = config;
  const exit = { name, startId: directory.startId, deadlineMs, operations: routing, clock, log };
  return {
    readiness: () => readinessOf(watch, worker),
    drain: (signal) => drainBeforeExit(exit, signal),
    admission: { answer: async () => elsewhere(watch) },
  };
}

function clusterWatch({ config, clock, log }: NodeParts, entered: CopylessEntered): ClusterWatch {
  const { directory, cluster, pool, rpc, signal, onFailure } = entered;
  const { incarnation, withoutCopy } = directory.identity;
  const members = withoutCopy?.members ?? [];
  const { name } = config;
  // Before the first answer those alone are known.
  rpc.setMembers(new Set([name, ...members.map((member) => member.name)]));
  const become = async (record: ClusterRecord): Promise<void> => {
    await directory.takeRole(record, null);
    log.info(
      { raftId: record.raftId },
      'a place among the learners is free: this node has a copy from now on',
    );
    throw new RoleChangedError();
  };
  const watch: ClusterWatch = new ClusterWatch({
    request: {
      name,
      incarnation,
      address: config.advertise,
      cluster_id: cluster.clusterId,
      former_incarnation: incarnation,
      join_token: '',
      known_version: CLUSTER_VERSION,
      works_without_copy: true,
    },
    members,
    addresses: [...config.join, ...cluster.founders.map(({ address }) => address)],
    ask: askToJoin(pool, signal, COPYLESS_LIMITS.callTimeoutMs),
    onMember: (record) => {
      watch.close();
      become({ ...record, founders: [...record.founders] }).catch(onFailure);
    },
    onRemoved: (reason) => {
      watch.close();
      log.warn({ reason }, 'this node was removed');
      onFailure(new MemberRemovedError());
    },
    onView: (view) => {
      rpc.setMembers(
        new Set([name, ...view.members.map((member) => member.name), ...view.nodes_without_copy]),
      );
      if (!isDeepStrictEqual(directory.identity.withoutCopy?.members, watch.members()))
        directory.takeRole(cluster, watch.members()).catch(onFailure);
    },
    clock,
    random: Math.random,
    log,
  });
  return watch;
}

/** Where the cluster has given this node its certificate. */
function beginRenewal(
  { config, security, clock, log, closing }: NodeParts,
  { pool, signal }: CopylessEntered,
  watch: ClusterWatch,
): void {
  const { tls } = security;
  if (tls === null) return;
  const addresses = (): readonly string[] => watch.members().map(({ address }) => address);
  const renewal = renewalOf({ config, tls, pool, addresses, clock, signal, log });
  closing('renewal of the certificate', () => renewal?.close());
}

function logsClusterOf(watch: ClusterWatch) {
  return {
    nodeName: watch.nodeName,
    leadership: () => watch.leadership(),
    logRetention: () => {
      const { view } = watch;
      return view === null ? null : { logsMs: view.log_max_age_ms, maxLogBytes: view.log_max_bytes };
    },
    // The leader says them.
    candidates: () => [],
    recordHolder: () => Promise.reject(new JarvisError('no_leader', `${watch.nodeName} does not lead`)),
  };
}

/** The leader, if it is known; then the members, of which one may know, or be, another. */
function sessionAddresses(watch: ClusterWatch): readonly string[] {
  const { leader } = watch.leadership();
  const members = watch.members().map(({ address }) => address);
  return [...new Set([...(leader === null ? [] : [leader.address]), ...members])];
}

/** In contact with a leader, and its own worker registered: it has nothing to catch up with (docs/contract.md, section 1). */
function readinessOf(watch: ClusterWatch, worker: Pick<WorkerAgent, 'status'>): Readiness {
  if (watch.leadership().leader === null) return { ready: false, reason: 'no leader is known' };
  if (!worker.status().isSynced)
    return { ready: false, reason: 'the worker of this node is not registered yet' };
  return { ready: true, reason: '' };
}

/** @throws JarvisError no_leader */
function elsewhere(watch: ClusterWatch): JoinReply {
  const { leader } = watch.leadership();
  if (leader === null) throw new JarvisError('no_leader', 'this node knows no leader at present');
  return { leader_address: leader.address, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
}
