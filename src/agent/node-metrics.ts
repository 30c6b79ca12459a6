/** The metrics of this node: made first, so that every part can be observed, and told of the parts as they come. */
import { X509Certificate } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';

import type { Autoscaler } from '../autoscaler/loop.ts';
import type { MetricsText } from '../http/route.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { certificatesIn } from '../lib/tls-files.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { AlertMetrics } from '../metrics/families/alerts.ts';
import { AutoscalerMetrics } from '../metrics/families/autoscaler.ts';
import { CallMetrics } from '../metrics/families/calls.ts';
import { NodesMetrics } from '../metrics/families/nodes.ts';
import { ProcessMetrics } from '../metrics/families/process.ts';
import { RaftMetrics, type RaftReading } from '../metrics/families/raft.ts';
import { StorageMetrics, type SnapshotReading } from '../metrics/families/storage.ts';
import { TaskMetrics } from '../metrics/families/tasks.ts';
import { WorkerMetrics, type UsageReading } from '../metrics/families/worker.ts';
import { copylessNodes } from '../model/copyless-node.ts';
import { failureTolerance } from '../model/quorum.ts';
import { scalingSizeOf } from '../scheduler/core/scaling-size.ts';
import { MetricsRegistry } from '../metrics/registry.ts';
import type { DiskErrors } from './disk-errors.ts';
import { EventLoopLag } from './event-loop-lag.ts';
import type { NodeLogs } from './logs/node-logs.ts';
import type { LastWords } from './last-words.ts';
import type { ResourceMonitor } from './monitor/resource-monitor.ts';
import type { NodeDrivers } from './node-drivers.ts';
import type { RecoveredMember } from './recovery.ts';
import type { ClusterReplica } from './replica.ts';
import type { Measured } from './worker/usage-meter.ts';
import type { WorkerAgent } from './worker/worker-agent.ts';

export class NodeMetrics {
  readonly tasks: TaskMetrics;
  readonly raft: RaftMetrics;
  readonly storage: StorageMetrics;
  readonly worker: WorkerMetrics;
  readonly calls: CallMetrics;
  readonly autoscaler: AutoscalerMetrics;
  readonly #registry: MetricsRegistry;
  readonly #nodes: NodesMetrics;
  readonly #alerts: AlertMetrics;
  readonly #lag: EventLoopLag;
  readonly #clock: Clock;
  readonly #name: string;
  readonly #closing = new AbortController();
  #unsubscribe: readonly (() => void)[] = [];

  constructor(options: {
    /** Of the node. */
    readonly name: string;
    readonly version: string;
    /** Null: without TLS. */
    readonly tls: TlsSource | null;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    const { name, version, tls, clock, log } = options;
    this.#name = name;
    this.#clock = clock;
    this.#registry = new MetricsRegistry({ clock, log });
    this.#lag = new EventLoopLag(clock);
    this.tasks = new TaskMetrics(this.#registry);
    this.worker = new WorkerMetrics(this.#registry);
    this.autoscaler = new AutoscalerMetrics(this.#registry);
    this.#nodes = new NodesMetrics(this.#registry);
    this.#alerts = new AlertMetrics(this.#registry);
    this.raft = new RaftMetrics(this.#registry);
    this.storage = new StorageMetrics(this.#registry);
    this.calls = new CallMetrics(this.#registry);
    const certificates = new CertificateEnds(tls);
    void new ProcessMetrics(this.#registry, {
      version,
      nodeVersion: process.version,
      startedAtMs: clock.wallMs() - process.uptime() * 1000,
      read: () => {
        const { user, system } = process.cpuUsage();
        const { rss, heapUsed } = process.memoryUsage();
        return { cpuMs: (user + system) / 1000, residentBytes: rss, heapBytes: heapUsed };
      },
      openFiles: async () => (await readdir('/proc/self/fd')).length,
      eventLoopLag: () => this.#lag.latest,
      certificates: () => certificates.now(),
    });
  }

  /** For the HTTP server. */
  get text(): MetricsText {
    return this.#registry;
  }

  /** It is a member now, and its state is there. */
  member(
    { raft, machine, wal, snapshots }: RecoveredMember,
    parts: {
      readonly replica: ClusterReplica;
      readonly diskErrors: DiskErrors;
      readonly lastWords: Pick<LastWords, 'of'>;
    },
  ): void {
    const { replica, diskErrors, lastWords } = parts;
    const isLeading = (): boolean => raft.leadership().isLeader;
    this.raft.follow(() => raftReading(raft, lastWords));
    this.storage.follow({
      read: () => {
        const { bytes, segments } = wal.stats();
        return {
          walBytes: bytes,
          walSegments: segments,
          failedCommands: machine.poisonedCommands,
          diskErrors: diskErrors.count,
          failedSnapshotSends: raft.failedSnapshotSends,
        };
      },
      newestSnapshot: () => newestSnapshot(snapshots),
    });
    this.#nodes.follow({
      isLeading,
      nodes: () => replica.state.nodes.values(),
      withoutCopy: () => copylessNodes(replica.state, raft.membership.peers).length,
      allocated: (node) => replica.state.allocated(node),
    });
    this.#alerts.follow({ isLeading, messages: () => replica.state.alerts.values() });
    this.tasks.follow({
      isLeading,
      nowMs: () => Math.max(this.#clock.wallMs(), replica.state.cluster?.timeMs ?? 0),
      pendingCount: () => replica.state.pendingCount,
      unmadeCount: () => replica.state.unmadeCount,
      statusCount: (status) => replica.state.statusCount(status),
      namedErrors: () => {
        const policy = replica.state.cluster?.config.retryPolicy;
        return policy === undefined ? [] : [...policy.retryableErrors, ...policy.nonRetryableErrors];
      },
      spec: (id) => replica.read('spec', id),
    });
    this.#unsubscribe = [
      replica.onApplied((applied) => this.tasks.applied(applied)),
      replica.onApplied((applied) => this.#alerts.applied(applied)),
      machine.onInstalled(() => this.tasks.installed()),
      replica.onLeadership(({ isLeader, term, leader }) => {
        this.raft.leadership(leader?.name ?? null, term);
        if (!isLeader) return;
        this.tasks.leads(term);
        this.#alerts.leads(term);
      }),
    ];
  }

  scales(autoscaler: Autoscaler, replica: ClusterReplica): void {
    this.autoscaler.follow({
      isLeading: () => replica.leadership().isLeader,
      settings: () => replica.state.cluster?.config.autoscaling ?? null,
      size: () => scalingSizeOf(replica.state),
      evaluatedAtMs: () => autoscaler.evaluatedAtMs,
      overdueMs: () => autoscaler.overdueMs,
    });
  }

  /** Its worker runs. */
  runs(
    worker: Pick<WorkerAgent, 'status'>,
    parts: {
      readonly monitor: Pick<ResourceMonitor, 'measured'>;
      readonly logs: Pick<NodeLogs, 'keptBytes'>;
      readonly drivers: Pick<NodeDrivers, 'output'>;
    },
  ): void {
    const { monitor, logs, drivers } = parts;
    this.worker.follow({
      node: this.#name,
      usage: () => {
        const measured = monitor.measured();
        return measured === null ? null : usageReading(measured);
      },
      attempts: () => worker.status(),
      leaseRemainingMs: () => worker.status().leaseRemainingMs,
      logBytes: () => logs.keptBytes,
      output: () => drivers.output(this.#closing.signal),
    });
  }

  close(): void {
    this.#closing.abort();
    for (const stop of this.#unsubscribe) stop();
    this.#lag.close();
  }
}

function usageReading({ usage, network }: Measured): UsageReading {
  return {
    cpuPercent: usage.cpu_percent,
    memoryBytes: usage.memory_bytes,
    memorySizeBytes: usage.memory_size_bytes,
    diskBytes: usage.disk_bytes,
    diskSizeBytes: usage.disk_size_bytes,
    ...network,
  };
}

function raftReading(raft: RecoveredMember['raft'], lastWords: Pick<LastWords, 'of'>): RaftReading {
  const status = raft.status();
  const progress = new Map(status.progress.map((known) => [known.id, known]));
  const { peers } = raft.membership;
  const { confState } = status;
  const others = peers.filter(({ raftId }) => raftId !== status.id);
  return {
    term: status.term,
    isLeader: raft.leadership().isLeader,
    hasLeader: status.leader !== 0,
    commitIndex: status.commit,
    appliedIndex: raft.appliedIndex,
    firstIndex: status.firstIndex,
    lastIndex: status.lastIndex,
    voters: confState.voters.length,
    learners: confState.learners.length,
    spareVoters: failureTolerance(
      peers.map(({ raftId }) => ({
        incoming: confState.voters.includes(raftId),
        outgoing: confState.votersOutgoing.includes(raftId),
        isAlive: raftId === status.id || raft.isActive(raftId),
      })),
    ),
    elections: status.elections,
    peers: others.map(({ raftId, name }) => ({
      name,
      matchIndex: progress.get(raftId)?.match ?? 0,
      isActive: raft.isActive(raftId),
      hasDiskFailed: lastWords.of(raftId, raft.lastContactMs(raftId)).length > 0,
    })),
  };
}

async function newestSnapshot(snapshots: RecoveredMember['snapshots']): Promise<SnapshotReading | null> {
  const [newest] = await snapshots.list();
  if (newest === undefined) return null;
  const { size, mtimeMs } = await stat(newest.path);
  return { bytes: size, index: newest.meta.index, writtenAtMs: mtimeMs };
}

/** When the certificates end; parsed once for each renewal. */
class CertificateEnds {
  readonly #tls: TlsSource | null;
  #digest = '';
  #ends = { nodeMs: 0, authorityMs: 0 };

  constructor(tls: TlsSource | null) {
    this.#tls = tls;
  }

  now(): { readonly nodeMs: number; readonly authorityMs: number } | null {
    if (this.#tls === null) return null;
    const { certificatePem, authoritiesPem, digest } = this.#tls.current;
    if (digest !== this.#digest) {
      const [nodeMs = 0] = endsOf(certificatePem);
      this.#ends = { nodeMs, authorityMs: Math.min(...endsOf(authoritiesPem)) };
      this.#digest = digest;
    }
    return this.#ends;
  }
}

function endsOf(pem: string): readonly number[] {
  return certificatesIn(pem).map((one) => new X509Certificate(one).validToDate.getTime());
}
