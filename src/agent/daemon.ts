/**
 * The composition root: makes the parts of a node, in the order in which they need each other, and closes them in the
 * opposite one. It listens from the beginning, also while the cluster forms, and says so to whoever calls.
 */
import path from 'node:path';
import { randomUUID } from 'node:crypto';

import { ClusterService } from '../generated/cluster.ts';
import { EnrolmentService } from '../generated/enrolment.ts';
import { InstanceHostService } from '../generated/instance_host.ts';
import { LastWordsService } from '../generated/last_words.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import type { JoinRequest } from '../generated/raft.ts';
import { StateDigestsService } from '../generated/state_digests.ts';
import { NodeLogsService, WorkerService } from '../generated/worker.ts';
import { bootTimeMs } from '../lib/boot-time.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { LogLevels } from '../lib/log-levels.ts';
import { clusterVersionOf } from '../model/command-versions.ts';
import { FreshnessWatch } from '../operations/freshness.ts';
import { LocalOperations } from '../operations/local.ts';
import { localLogLevel } from '../operations/log-level.ts';
import { measuredLoadOf } from '../operations/nodes.ts';
import type { Caller, Readiness } from '../operations/port.ts';
import { RoutingOperations } from '../operations/router.ts';
import { openDataDirectory, type ClusterRecord, type DataDirectory } from '../raft/data-directory.ts';
import { ClusterFormation } from '../raft/form-cluster.ts';
import { MemberRemovedError, type RaftNode } from '../raft/node.ts';
import type { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import { RaftPeerService } from '../raft/transport/raft-service.ts';
import { channelOptions, ChannelPool } from '../rpc/channel.ts';
import { clusterService, nodeLogsService } from '../rpc/cluster-service.ts';
import { unaryHandler } from '../rpc/handlers.ts';
import { createRemotes } from '../rpc/remotes.ts';
import type { RpcServer } from '../rpc/server.ts';
import { Retention } from '../scheduler/retention.ts';
import { SchedulingLoop } from '../scheduler/loop.ts';
import { adminTokenFile } from './admin-token-file.ts';
import { alertDuties } from './alerts/duties.ts';
import { autoscalerOf } from './autoscaling.ts';
import type { Autoscaler } from '../autoscaler/loop.ts';
import { webhookTester } from './alerts/webhooks.ts';
import { Admission } from './admission.ts';
import { authRequired, type NodeConfig } from './config.ts';
import { announceAddress, enterCluster } from './enter-cluster.ts';
import { enrolmentParts, ownAuthorityHash } from './enrolment/enrolment-parts.ts';
import { drainBeforeExit } from './exit-drain.ts';
import { Guarding } from './guarding.ts';
import { handOver } from './hand-over.ts';
import { DiskErrors } from './disk-errors.ts';
import { NodeInsight } from './insight.ts';
import { LastWords } from './last-words.ts';
import { lateService } from './late-service.ts';
import { CLOSE_GRACE_MS, listen } from './listeners.ts';
import { DrainKeeper } from './leader/drain-keeper.ts';
import { LeaseSettler } from './leader/lease-settler.ts';
import { LeaderDuties } from './leader/leader-duties.ts';
import { TimeoutSettler } from './leader/timeout-settler.ts';
import { TokenKeeper } from './leader/token-keeper.ts';
import { learnersAllowed, targetVotersOf, VoterKeeper } from './voter-keeper.ts';
import { SavedSnapshots } from './saved-snapshots.ts';
import { SessionService } from './leader/session-service.ts';
import { laggardsAmong, VersionKeeper } from './leader/version-keeper.ts';
import { HandOverRequests } from './logs/hand-over-service.ts';
import { NodeLogs } from './logs/node-logs.ts';
import { memberQuestions } from './member-questions.ts';
import { memberTransport } from './member-transport.ts';
import { memberWatches } from './member-watches.ts';
import { LeaderMembershipControl } from './membership-control.ts';
import { ResourceMonitor, usageOf } from './monitor/resource-monitor.ts';
import { NodeDrivers } from './node-drivers.ts';
import { NodeMetrics } from './node-metrics.ts';
import { nodeProviderService } from './node-providers.ts';
import type { NodeSecurity } from './node-security.ts';
import { readinessOf } from './readiness.ts';
import { recoverMember } from './recovery.ts';
import { nodeConfinement } from './node-confinement.ts';
import { registrationOf } from './registration.ts';
import { ClusterReplica } from './replica.ts';
import { foundingText } from './founding-text.ts';
import { SettingsNotice } from './settings-notice.ts';
import { StartingOperations } from './starting-operations.ts';
import { DEFAULT_PATH } from './worker/environment.ts';
import { barMember, versionsOf, watchVersion } from './version-watch.ts';
import { GrpcSessionConnector } from './worker/session-connector.ts';
import { WorkerAgent } from './worker/worker-agent.ts';

const KILL_TASKS_TIMEOUT_MS = 3000;

interface Closer {
  readonly name: string;
  close(): void | Promise<void>;
}

export class Daemon {
  readonly #config: NodeConfig;
  readonly #security: NodeSecurity;
  readonly #log: Log;
  readonly #logLevels: LogLevels;
  readonly #version: string;
  readonly #clock: Clock = systemClock;
  readonly #closers: Closer[] = [];
  readonly #diskErrors = new DiskErrors(this.#clock);
  readonly #guarding: Guarding;
  readonly #metrics: NodeMetrics;
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
    this.#logLevels = options.logLevels;
    this.#config = options.config;
    this.#security = options.security;
    this.#log = options.log;
    this.#version = options.version;
    const parts = { clock: this.#clock, log: options.log };
    this.#guarding = new Guarding({ config: options.config, ...parts });
    const { tls } = options.security;
    this.#metrics = new NodeMetrics({ name: options.config.name, version: options.version, tls, ...parts });
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
    for (const closer of this.#closers.splice(0).reverse()) {
      try {
        await closer.close();
      } catch (error) {
        this.#log.error({ part: closer.name, error: messageOf(error) }, 'closing failed');
      }
    }
  }

  #closing(name: string, close: () => void | Promise<void>): void {
    this.#closers.push({ name, close });
  }

  async #start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    const directory = await openDataDirectory(config.dataDir, { name: config.name });
    this.#closing('data directory', () => directory.close());
    const formation = this.#formation(directory);
    const peerService = new RaftPeerService({
      formation,
      join: unaryHandler((request, { caller }) => this.#admit(request, caller), this.#log),
      log: this.#log,
    });
    const services = {
      cluster: lateService(ClusterService),
      logs: lateService(NodeLogsService),
      worker: lateService(WorkerService),
      lastWords: lateService(LastWordsService),
      handOver: lateService(LogHandOverService),
      digests: lateService(StateDigestsService),
      instances: lateService(InstanceHostService),
      // Without TLS there is nothing to be had by it.
      ...(this.#security.tls === null ? {} : { enrolment: lateService(EnrolmentService) }),
    };
    const operations = new StartingOperations();
    // Closed after the servers: what they are still answering may have been sent on.
    const pool = new ChannelPool(this.#security.channels);
    this.#closing('channels', async () => {
      await this.#lastWords?.said;
      pool.close();
    });
    this.#closing('metrics', () => this.#metrics.close());
    this.#closing('guard', () => this.#guarding.close());
    const { http, rpc } = await listen({
      config,
      security: this.#security,
      operations,
      services: [peerService, ...Object.values(services).map(({ service }) => service)],
      guarding: this.#guarding,
      readiness: () => this.#readiness(),
      metrics: this.#metrics,
      closing: (name, close) => this.#closing(name, close),
      clock: this.#clock,
      log: this.#log,
    });

    const cluster =
      directory.identity.cluster ??
      (await enterCluster({
        config,
        directory,
        formation,
        pool,
        clock: this.#clock,
        signal,
        log: this.#log,
        onWaiting: (reason) => {
          this.#readiness = () => ({ ready: false, reason });
        },
      }));
    const diskErrors = this.#diskErrors;
    const lastWords = new LastWords({
      cluster,
      name: config.name,
      diskErrors,
      pool,
      clock: this.#clock,
      log: this.#log,
    });
    this.#lastWords = lastWords;
    const member = await this.#recover(directory, cluster);
    const { raft, machine, wal, snapshots, transport } = member;
    lastWords.follow(() => raft.membership.peers);
    this.#serveMembers(rpc, raft);
    const replica = new ClusterReplica({
      nodeName: config.name,
      raft,
      machine,
      clock: this.#clock,
      observer: this.#metrics.raft,
      laggards: () => laggardsAmong(versionsOf(raft, transport)),
    });
    const onFailure = (error: unknown): void => this.#fail(error);
    this.#closing('version', watchVersion({ replica, transport, directory, onFailure, log: this.#log }));
    this.#metrics.member(member, { replica, diskErrors, lastWords });
    const autoscaler = autoscalerOf({
      config,
      clusterId: cluster.clusterId,
      replica,
      raft,
      pool,
      tls: this.#security.tls,
      // Asked only while it leads, which is after the duties have begun.
      silentMs: (node) => duties.silentMs(node),
      observer: this.#metrics.autoscaler,
      clock: this.#clock,
      log: this.#log,
    });
    this.#metrics.scales(autoscaler, replica);
    const { version } = formation;
    const duties: LeaderDuties = this.#leaderDuties({ replica, cluster, version, member, pool, autoscaler });
    const sessions = new SessionService({
      replica,
      accept: (call) => duties.accept(call),
      credentials: () => this.#security.channels.credentials(),
      log: this.#log,
    });
    this.#closing('sessions', () => sessions.close());
    const logs = new NodeLogs({
      dataDirectory: config.dataDir,
      clusterId: cluster.clusterId,
      incarnation: directory.identity.incarnation,
      mayBeSilent: config.drivers?.includes('noop') === true,
      replica,
      pool,
      clock: this.#clock,
      log: this.#log,
    });
    const localLogs = logs.local;
    const remotes = createRemotes(pool);
    this.#closing('remotes', () => remotes.close());
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
      clock: this.#clock,
      log: this.#log,
    });
    const self = { cluster, version: this.#version, wal, diskErrors, lastWords, transport, watches };
    const insight = new NodeInsight({ raft, duties, self });
    const membership = new LeaderMembershipControl({
      raft,
      clock: this.#clock,
      targetVoters: () => targetVotersOf(replica.state.cluster, raft.membership.peers.length),
      learnersAllowed: () => learnersAllowed(replica.state.cluster, raft),
      bar: (name) => barMember(replica, name, this.#log),
      ask: (address, caller) => questions.identity(address, caller),
    });
    const saved = new SavedSnapshots({ raft, machine, dataDirectory: directory.paths.root });
    await saved.clear();
    const local = new LocalOperations({
      replica,
      insight,
      membership,
      snapshots: saved,
      remotes,
      clock: this.#clock,
      testWebhook: webhookTester({ clock: this.#clock, version: this.#version }),
      scaling: autoscaler,
    });
    const freshness = new FreshnessWatch({ replica, insight, clock: this.#clock });
    const { tls } = this.#security;
    const routing = new RoutingOperations({
      replica,
      local,
      remotes,
      localLogs,
      localUsage: usageOf(() => this.#monitor),
      localLogLevel: localLogLevel(config.name, this.#logLevels, this.#log),
      clock: this.#clock,
      uniqueId: randomUUID,
      freshness: () => freshness.now(),
      authorityHash: () => (tls === null ? null : ownAuthorityHash(tls, this.#clock.wallMs())),
      version: { version: this.#version, name: config.name, node_version: process.version },
    });
    const open = this.#guarding.before(routing, { replica, questions });
    const { guard } = this.#guarding;
    operations.become(open);
    services.cluster.become(clusterService(open, this.#log, guard));
    services.logs.become(nodeLogsService(localLogs, this.#log, guard));
    services.worker.become(sessions);
    services.handOver.become(logs.service);
    services.lastWords.become(lastWords.service());
    services.digests.become(watches.digests);
    const { clusterId } = cluster;
    services.instances.become(nodeProviderService({ config, clusterId, clock: this.#clock, log: this.#log }));
    this.#admission = new Admission({
      raft,
      cluster,
      learnersAllowed: () => learnersAllowed(replica.state.cluster, raft),
      version: () => clusterVersionOf(replica.state.cluster),
      isBarred: (name) => tls !== null && replica.state.formerMembers.has(name),
      // With TLS the certificate that it shows is what lets it in.
      tokens: { areRequired: config.auth && tls === null, use: (user) => local.useJoinToken(user, signal) },
      audit: this.#guarding.nodes,
      log: this.#log,
    });
    if (tls !== null) {
      const enrolment = await enrolmentParts({
        config,
        tls,
        replica,
        raft,
        pool,
        signal,
        audit: this.#guarding.nodes,
        useTokenHere: (user, caller) => local.useJoinToken(user, caller),
        clock: this.#clock,
        log: this.#log,
      });
      services.enrolment?.become(enrolment.service);
      this.#closing('enrolment', enrolment.close);
    }
    peerService.join({ transport, snapshots, onUnwritable: (error) => diskErrors.note(error) });
    raft.start();
    watches.start();
    this.#closing('watches', () => watches.close());
    const moving = { config, directory, pool, clock: this.#clock, signal, log: this.#log };
    void announceAddress(moving, raft.membership.peers);
    this.#closing('leadership', () => handOver(raft, this.#clock));
    const worker = await this.#startWorker(directory, { replica, raft, logs });
    this.#closing('logs', () => logs.close());
    await logs.start();
    // First of all, while everything that the requests under way need is there.
    this.#closing('HTTP', () => http.close(CLOSE_GRACE_MS));
    this.#closing('streams', () => rpc.endStreams());
    this.#readiness = () => readinessOf(raft, worker);
    const { name, drainDeadlineMs: deadlineMs } = config;
    const exit = { name, startId: directory.startId, deadlineMs, operations: routing };
    this.#drain = (caller) => drainBeforeExit({ ...exit, clock: this.#clock, log: this.#log }, caller);
    this.#log.info(
      { listen: config.listen, http: config.http, cluster: cluster.clusterId },
      'the node is up',
    );
  }

  #formation(directory: DataDirectory): ClusterFormation {
    const { name, peers, cluster } = this.#config;
    const { incarnation } = directory.identity;
    const self = { name, incarnation, peers, config: foundingText(cluster) };
    return new ClusterFormation({ self, formed: directory.identity.cluster, log: this.#log });
  }

  /** Those alone; this node itself also where it has not applied the entry yet that has let it in. */
  #serveMembers(rpc: RpcServer, raft: RaftNode): void {
    const follow = (): void =>
      rpc.setMembers(new Set([this.#config.name, ...raft.membership.peers.map(({ name }) => name)]));
    follow();
    this.#closing('members', raft.onMembership(follow));
  }

  async #admit(request: JoinRequest, caller: Caller | undefined) {
    if (this.#admission === null)
      throw new JarvisError('unavailable', 'this node is not part of a cluster yet');
    return this.#admission.answer(request, caller);
  }

  async #recover(directory: DataDirectory, cluster: ClusterRecord) {
    const transport = memberTransport({
      config: this.#config,
      directory,
      cluster,
      security: this.#security,
      onOldCopy: (reason) => void this.#condemn(directory, reason),
      onRemoved: () => this.#fail(new MemberRemovedError()),
      clock: this.#clock,
      log: this.#log,
    });
    const member = await recoverMember({
      directory,
      cluster,
      transport,
      clock: this.#clock,
      random: Math.random,
      log: this.#log,
      leaseReads: this.#config.leaseReads,
      onFailure: (error) => this.#fail(error),
      onDamaged: (error) => {
        this.#diskErrors.note(error);
        this.#metrics.storage.snapshotDamaged();
      },
      onFsync: (durationMs) => this.#metrics.storage.synced(durationMs),
    });
    this.#raft = member.raft;
    this.#closing('snapshots', () => member.snapshots.close());
    this.#closing('state', () => member.machine.close());
    this.#closing('Raft', () => member.raft.stop());
    this.#closing('transport', () => transport.close());
    this.#closing(
      'renewal',
      this.#security.channels.onRenewal(() => transport.renew()),
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

  #leaderDuties(own: {
    readonly replica: ClusterReplica;
    readonly cluster: ClusterRecord;
    /** Of a cluster that it forms. */
    readonly version: number;
    readonly member: { readonly raft: RaftNode; readonly transport: GrpcTransport };
    readonly pool: ChannelPool;
    readonly autoscaler: Autoscaler;
  }): LeaderDuties {
    const { replica, cluster, version, pool, autoscaler } = own;
    const { raft, transport } = own.member;
    const parts = { replica, clock: this.#clock, log: this.#log };
    // Asked only while it leads, which is after the duties have begun.
    const loadOf = (node: string) => measuredLoadOf(duties.usage(node));
    const scheduling = new SchedulingLoop({
      ...parts,
      loadOf,
      onAssigned: (tasks, durationMs) => this.#metrics.tasks.assigned(tasks, durationMs),
    });
    const tokens = new TokenKeeper({
      ...parts,
      isRequired: authRequired(this.#config),
      file: adminTokenFile(this.#config.dataDir),
    });
    this.#closing('tokens', () => tokens.close());
    const duties: LeaderDuties = new LeaderDuties({
      ...parts,
      formation: {
        clusterId: cluster.clusterId,
        epoch: cluster.epoch,
        config: this.#config.cluster,
        version,
      },
      duties: [
        new VersionKeeper({ ...parts, others: () => versionsOf(raft, transport) }),
        new LeaseSettler(parts),
        new TimeoutSettler(parts),
        scheduling,
        new VoterKeeper({ ...parts, raft }),
        new DrainKeeper({
          ...parts,
          handOver: new HandOverRequests({ clusterId: cluster.clusterId, pool, log: this.#log }),
        }),
        new Retention(parts),
        ...alertDuties({ ...parts, raft, version: this.#version }),
        tokens,
        autoscaler,
      ],
    });
    this.#closing('duties', () => duties.close());
    return duties;
  }

  async #startWorker(
    directory: DataDirectory,
    parts: { readonly replica: ClusterReplica; readonly raft: RaftNode; readonly logs: NodeLogs },
  ): Promise<WorkerAgent> {
    const { replica, raft, logs } = parts;
    const config = this.#config;
    let agent: WorkerAgent | null = null;
    const drivers = await NodeDrivers.create({
      config,
      incarnation: directory.identity.incarnation,
      clock: this.#clock,
      log: this.#log,
      onChange: () => agent?.registerAgain('what this node can run has changed'),
    });
    this.#closing('watchdog', () => drivers.close());
    for (const driver of drivers.all) this.#closing(`driver ${driver.name}`, () => driver.close());
    const { incarnation } = directory.identity;
    const confinement = nodeConfinement({ node: config.name, incarnation, dataDirectory: config.dataDir });
    const monitor = new ResourceMonitor({
      node: config.name,
      directory: config.dataDir,
      confinement,
      drivers: drivers.all,
      clock: this.#clock,
      log: this.#log,
    });
    monitor.start();
    this.#closing('monitor', () => monitor.close());
    this.#monitor = monitor;
    const notice = new SettingsNotice(config.stated, this.#log);
    const worker = await WorkerAgent.start({
      registration: () => {
        const bounds = confinement.bounds();
        return registrationOf({ config, directory, version: this.#version, drivers, bounds });
      },
      environment: { node: config.name, path: DEFAULT_PATH, home: process.env['HOME'] ?? '/' },
      drivers: drivers.all,
      lease: drivers.lease,
      bootMs: bootTimeMs,
      connector: new GrpcSessionConnector({
        addresses: () => this.#sessionAddresses(replica, raft),
        credentials: () => this.#security.channels.credentials(),
        channelOptions,
      }),
      onSynced: () => notice.look(replica.state.cluster),
      onEnded: (end) => this.#metrics.worker.ended(end),
      reportsDirectory: path.join(directory.paths.root, 'reports'),
      usage: monitor,
      clock: this.#clock,
      random: Math.random,
      log: this.#log,
    });
    agent = worker;
    this.#metrics.runs(worker, { monitor, drivers, logs });
    this.#closing('worker', async () => {
      if (!config.killTasksOnExit) await worker.prepareRestart(config.restartGraceMs);
      await worker.close();
      if (config.killTasksOnExit && worker.status().session > 0)
        await drivers.killAll(AbortSignal.timeout(KILL_TASKS_TIMEOUT_MS));
    });
    return worker;
  }

  /** The leader itself, if it is known; then this node, which forwards as soon as it knows; then the others. */
  #sessionAddresses(replica: ClusterReplica, raft: RaftNode): readonly string[] {
    const { leader } = replica.leadership();
    const { advertise, peers, join } = this.#config;
    const others = [...raft.membership.peers, ...peers].map(({ address }) => address);
    return [...new Set([...(leader === null ? [] : [leader.address]), advertise, ...others, ...join])];
  }
}
