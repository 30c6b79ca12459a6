/** A node as a member of its cluster: with a log, a copy of the state, and perhaps a vote. */
import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import { JarvisError } from '../lib/errors.ts';
import type { Caller, Readiness } from '../operations/port.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { MemberRemovedError, type RaftNode } from '../raft/node.ts';
import type { Admission } from './admission.ts';
import { CopylessNames } from './copyless-names.ts';
import { announceAddress } from './enter-cluster.ts';
import { handOver } from './hand-over.ts';
import { LastWords } from './last-words.ts';
import { leaderParts } from './leader-parts.ts';
import { laggardsAmong } from './leader/version-keeper.ts';
import { logsClusterOf } from './logs/logs-cluster.ts';
import type { NodeLogs } from './logs/node-logs.ts';
import { memberQuestions } from './member-questions.ts';
import { answerMembers } from './member-services.ts';
import { memberTransport } from './member-transport.ts';
import { memberWatches, type MemberWatches } from './member-watches.ts';
import { type ResourceMonitor, usageOf } from './monitor/resource-monitor.ts';
import { beginEnrolment, nodeAdmission } from './node-admission.ts';
import { nodeOperations } from './node-operations.ts';
import type { NodeParts } from './node-parts.ts';
import type { Entered, NodeRole } from './node-role.ts';
import { readinessOf } from './readiness.ts';
import { recoverMember } from './recovery.ts';
import { ClusterReplica } from './replica.ts';
import { drainNode, keepLogs, nodeLogs } from './role-parts.ts';
import { sessionAddresses } from './session-addresses.ts';
import { SettingsNotice } from './settings-notice.ts';
import { startWorker } from './start-worker.ts';
import { versionsOf, watchVersion } from './version-watch.ts';
import type { WorkerAgent } from './worker/worker-agent.ts';

interface RunningParts {
  readonly replica: ClusterReplica;
  readonly raft: RaftNode;
  readonly logs: NodeLogs;
  readonly watches: MemberWatches;
}

export class MemberNode implements NodeRole {
  readonly #parts: NodeParts;
  readonly #entered: Entered;
  readonly #lastWords: LastWords;
  /** Null until its state is there. */
  #raft: RaftNode | null = null;
  #admission: Admission | null = null;
  #monitor: ResourceMonitor | null = null;
  #routing: RoutingOperations | null = null;
  #worker: WorkerAgent | null = null;

  constructor(parts: NodeParts, entered: Entered) {
    const { config, clock, log } = parts;
    const { cluster, diskErrors, pool } = entered;
    this.#parts = parts;
    this.#entered = entered;
    this.#lastWords = new LastWords({ cluster, name: config.name, diskErrors, pool, clock, log });
  }

  get memberAddresses(): readonly string[] {
    const others = this.#raft?.membership.peers.filter(({ name }) => name !== this.#parts.config.name);
    return others?.map(({ address }) => address) ?? [];
  }

  get said(): Promise<unknown> {
    return this.#lastWords.said;
  }

  sayLastWords(): void {
    this.#lastWords.say();
  }

  halt(): void {
    // The same stop is awaited when its turn to be closed has come, and its failure logged there.
    this.#raft?.stop().catch(() => undefined);
  }

  readiness(): Readiness {
    if (this.#raft === null || this.#worker === null) return { ready: false, reason: 'the node is starting' };
    return readinessOf(this.#raft, this.#worker);
  }

  /** @throws JarvisError as {@link Admission}, and unavailable while its state is not there yet */
  async admit(request: JoinRequest, caller: Caller | undefined): Promise<JoinReply> {
    if (this.#admission === null)
      throw new JarvisError('unavailable', 'this node is not part of a cluster yet');
    return this.#admission.answer(request, caller);
  }

  async drain(signal: AbortSignal): Promise<void> {
    if (this.#routing === null || this.#worker === null) return;
    await drainNode(this.#parts, this.#entered, this.#routing, signal);
  }

  async serve(): Promise<void> {
    const { directory, cluster, pool, peerService, services, operations, signal } = this.#entered;
    const { diskErrors, guarding, onFailure } = this.#entered;
    const { config, version, clock, log, metrics, closing } = this.#parts;
    const lastWords = this.#lastWords;
    const member = await this.#recover();
    const { raft, machine, wal, snapshots, transport } = member;
    lastWords.follow(() => raft.membership.peers);
    const observer = metrics.raft;
    const laggards = () => laggardsAmong(versionsOf(raft, transport));
    const replica = new ClusterReplica({ nodeName: config.name, raft, machine, clock, observer, laggards });
    const names = new CopylessNames({ raft, replica });
    closing('names', () => names.close());
    this.#serveMembers(raft, names);
    closing('version', watchVersion({ replica, transport, directory, onFailure, log }));
    metrics.member(member, { replica, diskErrors, lastWords });
    const { version: clusterVersion } = this.#entered.formation;
    const leading = { replica, cluster, clusterVersion, raft, transport, pool };
    const { autoscaler, duties, sessions, entrance } = leaderParts(this.#parts, leading);
    const logs = nodeLogs(this.#parts, this.#entered, logsClusterOf(replica));
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
        void this.#condemn(`it has made something else of the log than the majority: ${reason}`),
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
      logLevels: this.#entered.logLevels,
    });
    this.#routing = routing;
    const open = guarding.before(routing, { replica, questions });
    operations.become(open);
    const { guard, nodes: audit } = guarding;
    answerMembers(services, this.#parts, { open, guard, cluster, logs, sessions, lastWords, watches });
    const admission = { replica, cluster, raft, names, entrance, local, audit, signal };
    this.#admission = nodeAdmission(this.#parts, admission);
    await beginEnrolment(this.#parts, { ...admission, pool, services });
    peerService.join({ transport, snapshots, onUnwritable: (error) => diskErrors.note(error) });
    await this.#begin({ replica, raft, logs, watches });
  }

  /** From now on it takes part: in Raft, and as a worker. */
  async #begin({ replica, raft, logs, watches }: RunningParts): Promise<void> {
    const { directory, cluster, pool, signal } = this.#entered;
    const { config, clock, log, closing } = this.#parts;
    raft.start();
    watches.start();
    closing('watches', () => watches.close());
    const moving = { config, directory, pool, clock, signal, log };
    void announceAddress(moving, raft.membership.peers);
    closing('leadership', () => handOver(raft, clock));
    const notice = new SettingsNotice(config.stated, log);
    const worker = await startWorker(this.#parts, {
      directory,
      sessionAddresses: () => sessionAddresses(config, replica, raft),
      onSynced: () => notice.look(replica.state.cluster),
      logs,
      onMonitor: (monitor) => (this.#monitor = monitor),
    });
    await keepLogs(this.#parts, this.#entered, logs);
    this.#worker = worker;
    log.info({ listen: config.listen, http: config.http, cluster: cluster.clusterId }, 'the node is up');
  }

  /** Those alone; this node itself also where it has not applied the entry yet that has let it in. */
  #serveMembers(raft: RaftNode, copyless: CopylessNames): void {
    const follow = (): void => {
      const members = raft.membership.peers.map(({ name }) => name);
      this.#entered.rpc.setMembers(new Set([this.#parts.config.name, ...members, ...copyless.all]));
    };
    follow();
    // Also where the members are others.
    this.#parts.closing('members', copyless.onChange(follow));
  }

  async #recover() {
    const { directory, cluster, diskErrors, onFailure } = this.#entered;
    const { config, security, clock, log, metrics, closing } = this.#parts;
    const transport = memberTransport({
      config,
      directory,
      cluster,
      security,
      onOldCopy: (reason) => void this.#condemn(reason),
      onRemoved: () => onFailure(new MemberRemovedError()),
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
      onFailure,
      onDamaged: (error) => {
        diskErrors.note(error);
        metrics.storage.snapshotDamaged();
      },
      onFsync: (durationMs) => metrics.storage.synced(durationMs),
    });
    this.#raft = member.raft;
    closing('snapshots', () => member.snapshots.close());
    closing('state', () => member.machine.close());
    closing('Raft', () => member.raft.stop());
    closing('transport', () => transport.close());
    closing(
      'renewal',
      security.channels.onRenewal(() => transport.renew()),
    );
    member.raft.failed.catch(onFailure);
    // Also a sync in idle time may fail, when nobody waits for an append.
    member.wal.failure.catch(onFailure);
    return { ...member, transport };
  }

  /** What the node holds is not to be trusted: it stops before it can vote, for good. */
  async #condemn(reason: string): Promise<void> {
    const { directory, diskErrors, onFailure } = this.#entered;
    try {
      this.halt();
      diskErrors.add('condemned', directory.paths.root, reason);
      onFailure(await directory.condemn(reason));
    } catch (error) {
      onFailure(error);
    }
  }
}
