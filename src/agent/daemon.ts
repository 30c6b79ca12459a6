/**
 * The composition root: makes the parts of a node, in the order in which they need each other, and closes them in the
 * opposite one. It listens from the beginning, also while the cluster forms, and says so to whoever calls.
 */
import type { JoinRequest } from '../generated/raft.ts';
import { systemClock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { LogLevels } from '../lib/log-levels.ts';
import type { Caller, Readiness } from '../operations/port.ts';
import type { HttpServer } from '../http/server.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { openDataDirectory, type ClusterRecord, type DataDirectory } from '../raft/data-directory.ts';
import { ClusterFormation } from '../raft/form-cluster.ts';
import { MemberRemovedError, type RaftNode } from '../raft/node.ts';
import { RaftPeerService } from '../raft/transport/raft-service.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { unaryHandler } from '../rpc/handlers.ts';
import type { RpcServer } from '../rpc/server.ts';
import type { Admission } from './admission.ts';
import { Closers } from './closers.ts';
import type { NodeConfig } from './config.ts';
import { CopylessNames } from './copyless-names.ts';
import { DiskErrors } from './disk-errors.ts';
import { announceAddress, enterCluster } from './enter-cluster.ts';
import { drainBeforeExit } from './exit-drain.ts';
import { foundingText } from './founding-text.ts';
import { Guarding } from './guarding.ts';
import { handOver } from './hand-over.ts';
import { LastWords } from './last-words.ts';
import { leaderParts } from './leader-parts.ts';
import { laggardsAmong } from './leader/version-keeper.ts';
import { CLOSE_GRACE_MS, listen } from './listeners.ts';
import { NodeLogs } from './logs/node-logs.ts';
import { memberQuestions } from './member-questions.ts';
import { answerMembers, memberServices, type MemberServices } from './member-services.ts';
import { memberTransport } from './member-transport.ts';
import { memberWatches, type MemberWatches } from './member-watches.ts';
import { type ResourceMonitor, usageOf } from './monitor/resource-monitor.ts';
import { beginEnrolment, nodeAdmission } from './node-admission.ts';
import { NodeMetrics } from './node-metrics.ts';
import { nodeOperations } from './node-operations.ts';
import type { NodeParts } from './node-parts.ts';
import type { NodeSecurity } from './node-security.ts';
import { readinessOf } from './readiness.ts';
import { recoverMember } from './recovery.ts';
import { ClusterReplica } from './replica.ts';
import { startWorker } from './start-worker.ts';
import { StartingOperations } from './starting-operations.ts';
import { versionsOf, watchVersion } from './version-watch.ts';

/** What there is once the node knows its cluster. */
interface Entered {
  readonly directory: DataDirectory;
  readonly cluster: ClusterRecord;
  readonly formation: ClusterFormation;
  readonly pool: ChannelPool;
  readonly peerService: RaftPeerService;
  readonly services: MemberServices;
  readonly operations: StartingOperations;
  readonly http: HttpServer;
  readonly rpc: RpcServer;
  readonly signal: AbortSignal;
}

interface RunningParts {
  readonly replica: ClusterReplica;
  readonly raft: RaftNode;
  readonly logs: NodeLogs;
  readonly watches: MemberWatches;
  readonly routing: RoutingOperations;
}

export class Daemon {
  readonly #logLevels: LogLevels;
  readonly #closers: Closers;
  readonly #diskErrors = new DiskErrors(systemClock);
  readonly #guarding: Guarding;
  readonly #parts: NodeParts;
  readonly #failed = Promise.withResolvers<never>();
  #lastWords: LastWords | null = null;
  /** Null until it is part of a cluster. */
  #raft: RaftNode | null = null;
  #admission: Admission | null = null;
  #monitor: ResourceMonitor | null = null;
  #drain: ((signal: AbortSignal) => Promise<void>) | null = null;
  #readiness: () => Readiness = () => ({ ready: false, reason: 'the node is starting' });

  constructor(options: {
    config: NodeConfig;
    security: NodeSecurity;
    log: Log;
    logLevels: LogLevels;
    version: string;
  }) {
    const { config, security, version, log, logLevels } = options;
    this.#logLevels = logLevels;
    this.#closers = new Closers(log);
    const parts = { clock: systemClock, log };
    this.#guarding = new Guarding({ config, ...parts });
    this.#parts = {
      config,
      security,
      version,
      ...parts,
      metrics: new NodeMetrics({ name: config.name, version, tls: security.tls, ...parts }),
      closing: (name, close) => this.#closers.add(name, close),
    };
    // `run` hears of a failure; one before or after it has a listener too, so that none counts as unhandled.
    this.#failed.promise.catch(() => {});
  }

  /** Runs the node until the signal is aborted. @throws whatever keeps it from running, or ends it */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#start(signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#diskErrors.note(error);
      this.#lastWords?.say();
      throw error;
    }
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await Promise.race([stopped, this.#failed.promise]);
    } catch (error) {
      this.#lastWords?.say();
      throw error;
    }
  }

  /** Before a stop, where the settings say so. Resolves at once while it is starting. See {@link drainBeforeExit}. */
  async drain(signal: AbortSignal): Promise<void> {
    if (this.#drain === null) return;
    this.#readiness = () => ({ ready: false, reason: 'the node drains itself before it stops' });
    await this.#drain(signal);
  }

  /** Closes everything, the newest first; what fails to is logged. */
  async close(): Promise<void> {
    this.#readiness = () => ({ ready: false, reason: 'the node is stopping' });
    await this.#closers.close();
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { config, security, clock, log, metrics } = this.#parts;
    const directory = await openDataDirectory(config.dataDir, { name: config.name });
    this.#closers.add('data directory', () => directory.close());
    const formation = this.#formation(directory);
    const peerService = new RaftPeerService({
      formation,
      join: unaryHandler((request, { caller }) => this.#admit(request, caller), log),
      log,
    });
    const services = memberServices(security.tls !== null);
    const operations = new StartingOperations();
    // Closed after the servers: what they are still answering may have been sent on.
    const pool = new ChannelPool(security.channels);
    this.#closers.add('channels', async () => {
      await this.#lastWords?.said;
      pool.close();
    });
    this.#closers.add('metrics', () => metrics.close());
    this.#closers.add('guard', () => this.#guarding.close());
    const { http, rpc } = await listen({
      config,
      security,
      operations,
      services: [peerService, ...Object.values(services).map(({ service }) => service)],
      guarding: this.#guarding,
      readiness: () => this.#readiness(),
      metrics,
      closing: this.#parts.closing,
      clock,
      log,
    });

    const cluster =
      directory.identity.cluster ??
      (await enterCluster({
        config,
        directory,
        formation,
        pool,
        clock,
        signal,
        log,
        onWaiting: (reason) => {
          this.#readiness = () => ({ ready: false, reason });
        },
      }));
    await this.#serve({
      directory,
      cluster,
      formation,
      pool,
      peerService,
      services,
      operations,
      http,
      rpc,
      signal,
    });
  }

  /** It knows its cluster: everything that it does as a part of that begins. */
  async #serve(entered: Entered): Promise<void> {
    const { directory, cluster, pool, peerService, services, operations, rpc, signal } = entered;
    const { config, version, clock, log, metrics } = this.#parts;
    const diskErrors = this.#diskErrors;
    const lastWords = new LastWords({ cluster, name: config.name, diskErrors, pool, clock, log });
    this.#lastWords = lastWords;
    const member = await this.#recover(directory, cluster);
    const { raft, machine, wal, snapshots, transport } = member;
    lastWords.follow(() => raft.membership.peers);
    const observer = metrics.raft;
    const laggards = () => laggardsAmong(versionsOf(raft, transport));
    const replica = new ClusterReplica({ nodeName: config.name, raft, machine, clock, observer, laggards });
    const names = new CopylessNames({ raft, replica });
    this.#closers.add('names', () => names.close());
    this.#serveMembers(rpc, raft, names);
    const onFailure = (error: unknown): void => this.#fail(error);
    this.#closers.add('version', watchVersion({ replica, transport, directory, onFailure, log }));
    metrics.member(member, { replica, diskErrors, lastWords });
    const { version: clusterVersion } = entered.formation;
    const leading = { replica, cluster, clusterVersion, raft, transport, pool };
    const { autoscaler, duties, sessions, entrance } = leaderParts(this.#parts, leading);
    const logs = this.#logs(entered, replica);
    const questions = memberQuestions({ pool, clusterId: cluster.clusterId, signal });
    const watches = memberWatches({
      config,
      clusterId: cluster.clusterId,
      raft,
      machine,
      replica,
      questions,
      clockOffsets: () => duties.clockOffsets(),
      onMinority: (reason) =>
        void this.#condemn(directory, `it has made something else of the log than the majority: ${reason}`),
      clock,
      log,
    });
    const self = { cluster, version, wal, diskErrors, lastWords, transport, watches };
    const { local, routing } = await nodeOperations(this.#parts, {
      directory,
      member,
      self,
      replica,
      duties,
      entrance,
      autoscaler,
      questions,
      pool,
      localLogs: logs.local,
      localUsage: usageOf(() => this.#monitor),
      logLevels: this.#logLevels,
    });
    const open = this.#guarding.before(routing, { replica, questions });
    operations.become(open);
    const { guard, nodes: audit } = this.#guarding;
    answerMembers(services, this.#parts, { open, guard, cluster, logs, sessions, lastWords, watches });
    const admission = { replica, cluster, raft, names, entrance, local, audit, signal };
    this.#admission = nodeAdmission(this.#parts, admission);
    await beginEnrolment(this.#parts, { ...admission, pool, services });
    peerService.join({ transport, snapshots, onUnwritable: (error) => diskErrors.note(error) });
    await this.#begin(entered, { replica, raft, logs, watches, routing });
  }

  /** From now on it takes part: in Raft, and as a worker. */
  async #begin({ directory, cluster, pool, http, rpc, signal }: Entered, parts: RunningParts): Promise<void> {
    const { replica, raft, logs, watches, routing } = parts;
    const { config, clock, log } = this.#parts;
    raft.start();
    watches.start();
    this.#closers.add('watches', () => watches.close());
    const moving = { config, directory, pool, clock, signal, log };
    void announceAddress(moving, raft.membership.peers);
    this.#closers.add('leadership', () => handOver(raft, clock));
    const worker = await startWorker(this.#parts, {
      directory,
      replica,
      raft,
      logs,
      onMonitor: (monitor) => (this.#monitor = monitor),
    });
    this.#closers.add('logs', () => logs.close());
    await logs.start();
    // First of all, while everything that the requests under way need is there.
    this.#closers.add('HTTP', () => http.close(CLOSE_GRACE_MS));
    this.#closers.add('streams', () => rpc.endStreams());
    this.#readiness = () => readinessOf(raft, worker);
    const { name, drainDeadlineMs: deadlineMs } = config;
    const exit = { name, startId: directory.startId, deadlineMs, operations: routing };
    this.#drain = (caller) => drainBeforeExit({ ...exit, clock, log }, caller);
    log.info({ listen: config.listen, http: config.http, cluster: cluster.clusterId }, 'the node is up');
  }

  #logs({ directory, cluster, pool }: Entered, replica: ClusterReplica): NodeLogs {
    const { config, clock, log } = this.#parts;
    return new NodeLogs({
      dataDirectory: config.dataDir,
      clusterId: cluster.clusterId,
      incarnation: directory.identity.incarnation,
      mayBeSilent: config.drivers?.includes('noop') === true,
      replica,
      pool,
      clock,
      log,
    });
  }

  #formation(directory: DataDirectory): ClusterFormation {
    const { name, peers, cluster } = this.#parts.config;
    const { incarnation } = directory.identity;
    const self = { name, incarnation, peers, config: foundingText(cluster) };
    return new ClusterFormation({ self, formed: directory.identity.cluster, log: this.#parts.log });
  }

  /** Those alone; this node itself also where it has not applied the entry yet that has let it in. */
  #serveMembers(rpc: RpcServer, raft: RaftNode, copyless: CopylessNames): void {
    const follow = (): void => {
      const members = raft.membership.peers.map(({ name }) => name);
      rpc.setMembers(new Set([this.#parts.config.name, ...members, ...copyless.all]));
    };
    follow();
    // Also where the members are others.
    this.#closers.add('members', copyless.onChange(follow));
  }

  async #admit(request: JoinRequest, caller: Caller | undefined) {
    if (this.#admission === null)
      throw new JarvisError('unavailable', 'this node is not part of a cluster yet');
    return this.#admission.answer(request, caller);
  }

  async #recover(directory: DataDirectory, cluster: ClusterRecord) {
    const { config, security, clock, log, metrics } = this.#parts;
    const transport = memberTransport({
      config,
      directory,
      cluster,
      security,
      onOldCopy: (reason) => void this.#condemn(directory, reason),
      onRemoved: () => this.#fail(new MemberRemovedError()),
      clock,
      log,
    });
    const member = await recoverMember({
      directory,
      cluster,
      transport,
      clock,
      random: Math.random,
      log,
      leaseReads: config.leaseReads,
      onFailure: (error) => this.#fail(error),
      onDamaged: (error) => {
        this.#diskErrors.note(error);
        metrics.storage.snapshotDamaged();
      },
      onFsync: (durationMs) => metrics.storage.synced(durationMs),
    });
    this.#raft = member.raft;
    this.#closers.add('snapshots', () => member.snapshots.close());
    this.#closers.add('state', () => member.machine.close());
    this.#closers.add('Raft', () => member.raft.stop());
    this.#closers.add('transport', () => transport.close());
    this.#closers.add(
      'renewal',
      security.channels.onRenewal(() => transport.renew()),
    );
    member.raft.failed.catch((error: unknown) => this.#fail(error));
    // Also a sync in idle time may fail, when nobody waits for an append.
    member.wal.failure.catch((error: unknown) => this.#fail(error));
    return { ...member, transport };
  }

  /** What the node holds is not to be trusted: it stops before it can vote, for good. */
  async #condemn(directory: DataDirectory, reason: string): Promise<void> {
    try {
      this.#haltRaft();
      this.#diskErrors.add('condemned', directory.paths.root, reason);
      this.#fail(await directory.condemn(reason));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** It takes part no more from now on, not only when its turn to be closed has come; that says what fails then. */
  #haltRaft(): void {
    // The same stop is awaited when its turn to be closed has come, and its failure logged there.
    this.#raft?.stop().catch(() => undefined);
  }

  #fail(error: unknown): void {
    this.#diskErrors.note(error);
    this.#haltRaft();
    this.#failed.reject(error instanceof Error ? error : new Error(messageOf(error)));
  }
}
