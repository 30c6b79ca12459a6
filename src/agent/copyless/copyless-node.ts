/**
 * A node that works without a copy of the state (docs/adr/0013): no log, no replica, no vote. It runs tasks as every node does, and sends on
 * what it is asked.
 */
import { isDeepStrictEqual } from 'node:util';

import type { JoinReply } from '../../generated/raft.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Readiness } from '../../operations/port.ts';
import type { RoutingOperations } from '../../operations/router.ts';
import type { ClusterRecord } from '../../raft/data-directory.ts';
import { MemberRemovedError } from '../../raft/node.ts';
import { clusterService, nodeLogsService } from '../../rpc/cluster-service.ts';
import { askToJoin, knownNodeRequest } from '../ask-to-join.ts';
import { renewalOf } from '../enrolment/enrolment-parts.ts';
import type { LogsCluster } from '../logs/logs-cluster.ts';
import type { NodeLogs } from '../logs/node-logs.ts';
import { type ResourceMonitor, usageOf } from '../monitor/resource-monitor.ts';
import type { NodeParts } from '../node-parts.ts';
import { nodeProviderService } from '../node-providers.ts';
import type { Entered, NodeRole } from '../node-role.ts';
import { drainNode, keepLogs, nodeLogs } from '../role-parts.ts';
import { startWorker } from '../start-worker.ts';
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

export class CopylessNode implements NodeRole {
  readonly #parts: NodeParts;
  readonly #entered: Entered;
  readonly #watch: ClusterWatch;
  #routing: RoutingOperations | null = null;
  #monitor: ResourceMonitor | null = null;
  #worker: WorkerAgent | null = null;
  readonly said: Promise<unknown> = Promise.resolve();

  constructor(parts: NodeParts, entered: Entered) {
    this.#parts = parts;
    this.#entered = entered;
    this.#watch = clusterWatch(parts, entered);
    parts.closing('cluster watch', () => this.#watch.close());
  }

  get memberAddresses(): readonly string[] {
    return this.#watch.members().map(({ address }) => address);
  }

  /** It has promised nothing that could be lost with its disk. */
  sayLastWords(): void {}

  halt(): void {
    this.#watch.close();
  }

  async serve(): Promise<void> {
    const { directory, cluster } = this.#entered;
    const { config, log } = this.#parts;
    beginRenewal(this.#parts, this.#entered, this.#watch);
    const logs = nodeLogs(this.#parts, this.#entered, logsClusterOf(this.#watch));
    this.#answer(logs);
    this.#watch.start();
    this.#worker = await startWorker(this.#parts, {
      directory,
      sessionAddresses: () => {
        // A session that is to be opened anew: the leader may be another one.
        this.#watch.hurry();
        return sessionAddresses(this.#watch);
      },
      onSynced: () => undefined,
      logs,
      onMonitor: (monitor) => (this.#monitor = monitor),
    });
    await keepLogs(this.#parts, this.#entered, logs);
    const { listen } = config;
    log.info({ listen, http: config.http, cluster: cluster.clusterId }, 'the node is up, without a copy');
  }

  /** In contact with a leader, and its own worker registered: it has nothing to catch up with (docs/contract.md, section 1). */
  readiness(): Readiness {
    if (this.#watch.leadership().leader === null) return { ready: false, reason: 'no leader is known' };
    if (this.#worker?.status().isSynced !== true)
      return { ready: false, reason: 'the worker of this node is not registered yet' };
    return { ready: true, reason: '' };
  }

  /** Says where to ask. @throws JarvisError no_leader */
  async admit(): Promise<JoinReply> {
    const { leader } = this.#watch.leadership();
    if (leader === null) throw new JarvisError('no_leader', 'this node knows no leader at present');
    return { leader_address: leader.address, cluster_id: '', epoch: 0, founders: [], raft_id: 0 };
  }

  async drain(signal: AbortSignal): Promise<void> {
    if (this.#routing === null || this.#worker === null) return;
    await drainNode(this.#parts, this.#entered, this.#routing, signal);
  }

  /** Whoever has called is answered: here, or by whoever has a copy. */
  #answer(logs: NodeLogs): void {
    const { cluster, pool, services, operations, guarding, logLevels } = this.#entered;
    const { config, clock, log } = this.#parts;
    const { clusterId } = cluster;
    const routing = copylessOperations(this.#parts, {
      leaders: this.#watch,
      pool,
      localLogs: logs.local,
      localUsage: usageOf(() => this.#monitor),
      logLevels,
    });
    this.#routing = routing;
    const open = guarding.beforeCopyless(routing, { leaders: this.#watch, pool, clusterId });
    operations.become(open);
    const { guard } = guarding;
    services.cluster.become(clusterService(open, log, guard));
    services.logs.become(nodeLogsService(logs.local, log, guard));
    services.handOver.become(logs.service);
    services.instances.become(nodeProviderService({ config, clusterId, clock, log }));
    // Who asks it for these takes it for a member, which it may have been.
    const reason = `${config.name} works without a copy of the state: ask a member`;
    for (const service of [services.worker, services.lastWords, services.digests, services.callers])
      service.refuse(reason);
    services.enrolment?.refuse(`${reason}; it cannot let a node in that has no certificate yet`);
  }
}

function clusterWatch({ config, clock, log }: NodeParts, entered: Entered): ClusterWatch {
  const { directory, cluster, pool, rpc, signal, onFailure } = entered;
  const { withoutCopy } = directory.identity;
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
    request: knownNodeRequest(config, directory.identity),
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
  { pool, signal }: Entered,
  watch: ClusterWatch,
): void {
  const { tls } = security;
  if (tls === null) return;
  const addresses = (): readonly string[] => watch.members().map(({ address }) => address);
  const renewal = renewalOf({ config, tls, pool, addresses, clock, signal, log });
  closing('renewal of the certificate', () => renewal?.close());
}

function logsClusterOf(watch: ClusterWatch): LogsCluster {
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
