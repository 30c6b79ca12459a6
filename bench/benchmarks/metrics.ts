/**
 * What metrics cost a leader with 1,000 nodes and 100,000 tasks in its state: how many series its answer has, how long that
 * takes to make, and what counting adds to the applying of commands. In memory, without a network.
 */
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { ROUTES } from '../../src/http/routes/table.ts';
import { ClusterService } from '../../src/generated/cluster.ts';
import { copylessNodes } from '../../src/model/copyless-node.ts';
import { CallMetrics } from '../../src/metrics/families/calls.ts';
import { NodesMetrics } from '../../src/metrics/families/nodes.ts';
import { ProcessMetrics } from '../../src/metrics/families/process.ts';
import { RaftMetrics } from '../../src/metrics/families/raft.ts';
import { StorageMetrics } from '../../src/metrics/families/storage.ts';
import { TaskMetrics } from '../../src/metrics/families/tasks.ts';
import { WorkerMetrics } from '../../src/metrics/families/worker.ts';
import { MetricsRegistry } from '../../src/metrics/registry.ts';
import { serviceName } from '../../src/rpc/service-name.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { rounded, type Better } from '../statistics.ts';
import { type AppliedHere, CoreCluster } from '../support/core-cluster.ts';

const NODES = 1000;
/** On top of the queue, so many are placed, and most of those stay. */
const QUEUED = 100_000;
const PLACED = { full: 50_000, quick: 10_000 };
const ROUNDS = { full: 9, quick: 3 };
const SCRAPES = 20;
/** Other members: the largest cluster that the defaults make. */
const PEERS = 24;
const SERIES_AIM = 5000;
const SCRAPE_AIM_MS = 50;
const COUNT_AIM = 1_000_000;

export const metricsBenchmark: Benchmark = {
  name: 'metrics',
  description:
    "a leader's metrics with 1,000 nodes and 100,000 tasks: series, time of an answer; ceiling: the aims",
  peers: [],
  obstacle: () => null,
  run,
};

async function run({ isQuick, say, scope }: BenchmarkContext): Promise<readonly Result[]> {
  const applied: AppliedHere[] = [];
  let isKept = false;
  say(`metrics: queues ${QUEUED} tasks`);
  const cluster = new CoreCluster({
    nodes: NODES,
    queued: QUEUED,
    rules: 'plain',
    onApplied: (entry) => isKept && applied.push(entry),
  });
  isKept = true;
  cluster.place(isQuick ? PLACED.quick : PLACED.full);
  const { registry, tasks } = metricsOf(cluster);
  const figures = { series: [] as number[], scrapeMs: [] as number[], counted: [] as number[] };
  const rounds = isQuick ? ROUNDS.quick : ROUNDS.full;
  // The first round warms up.
  for (let round = 0; round <= rounds; round += 1) {
    scope.signal.throwIfAborted();
    const counted = countedPerSecond(tasks, applied);
    const { series, ms } = await scrapes(registry);
    say(
      `metrics: ${round === 0 ? 'warming up' : `round ${round}/${rounds}`}: ${series} series in ${rounded(ms)} ms; ` +
        `${rounded(counted)} changes/s counted`,
    );
    if (round === 0) continue;
    figures.series.push(series);
    figures.scrapeMs.push(ms);
    figures.counted.push(counted);
  }
  const { series, scrapeMs, counted } = figures;
  return [
    row({ name: 'metrics series', unit: 'series', better: 'lower' }, series, SERIES_AIM),
    row({ name: 'metrics answer', unit: 'ms', better: 'lower' }, scrapeMs, SCRAPE_AIM_MS),
    row({ name: 'metrics counted', unit: 'changes/s', better: 'higher' }, counted, COUNT_AIM),
  ];
}

function row(
  what: { readonly name: string; readonly unit: string; readonly better: Better },
  figures: readonly number[],
  aim: number,
): Result {
  const aims = figures.map(() => aim);
  return resultOf({ ...what, goal: 1 }, figures, aims);
}

/** Changes of rows per second of processor time that the counting of a leader takes. */
function countedPerSecond(tasks: TaskMetrics, applied: readonly AppliedHere[]): number {
  const before = process.threadCpuUsage();
  for (const entry of applied) tasks.applied(entry);
  const { user, system } = process.threadCpuUsage(before);
  const changes = applied.reduce((sum, entry) => sum + entry.changes.length, 0);
  return changes / ((user + system) / 1e6);
}

/** The mean of some answers, by processor time: what else runs does not count. */
async function scrapes(registry: MetricsRegistry): Promise<{ readonly series: number; readonly ms: number }> {
  let text = '';
  const before = process.threadCpuUsage();
  for (let scrape = 0; scrape < SCRAPES; scrape += 1) text = await registry.scrape();
  const { user, system } = process.threadCpuUsage(before);
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  return { series, ms: (user + system) / 1000 / SCRAPES };
}

/** As a node has them that leads, has been called in every way, and has refused some of it. */
function metricsOf(cluster: CoreCluster) {
  const registry = new MetricsRegistry({ clock: systemClock, log: silentLog });
  const tasks = new TaskMetrics(registry);
  tasks.leads(1);
  tasks.follow({
    isLeading: () => true,
    nowMs: Date.now,
    pendingCount: () => cluster.state.pendingCount,
    unmadeCount: () => cluster.state.unmadeCount,
    statusCount: (status) => cluster.state.statusCount(status),
    namedErrors: () => [],
    spec: () => Promise.resolve(null),
  });
  new NodesMetrics(registry).follow({
    isLeading: () => true,
    nodes: () => cluster.state.nodes.values(),
    withoutCopy: () => copylessNodes(cluster.state, []).length,
    allocated: (node) => cluster.state.allocated(node),
  });
  callEverything(new CallMetrics(registry));
  ownMetrics(registry);
  return { registry, tasks };
}

function callEverything(calls: CallMetrics): void {
  const once = { isStream: false, durationMs: 3 };
  for (const { method, path } of ROUTES)
    for (const status of [200, 401, 404, 503]) calls.httpEnded({ ...once, method, route: path, status });
  for (const method of Object.keys(ClusterService))
    for (const status of ['OK', 'UNAVAILABLE'])
      calls.rpcEnded({ ...once, method: `${serviceName(ClusterService)}/${method}`, status, error: null });
}

/** What does not depend on the size of the cluster, but for its members. */
function ownMetrics(registry: MetricsRegistry): void {
  const peers = Array.from({ length: PEERS }, (_, at) => ({
    name: `n${at}`,
    matchIndex: 9,
    isActive: true,
    hasDiskFailed: false,
  }));
  new RaftMetrics(registry).follow(() => ({
    term: 3,
    isLeader: true,
    hasLeader: true,
    commitIndex: 10,
    appliedIndex: 10,
    firstIndex: 1,
    lastIndex: 10,
    voters: 5,
    learners: PEERS - 4,
    spareVoters: 2,
    elections: 1,
    peers,
  }));
  new StorageMetrics(registry).follow({
    read: () => ({ walBytes: 1, walSegments: 1, failedCommands: 0, diskErrors: 0, failedSnapshotSends: 0 }),
    newestSnapshot: () => Promise.resolve({ bytes: 1, index: 1, writtenAtMs: 1 }),
  });
  new WorkerMetrics(registry).follow({
    node: 'n1',
    usage: () => null,
    attempts: () => ({ starting: 1, running: 1 }),
    leaseRemainingMs: () => 1,
    logBytes: () => 1,
    output: () => Promise.resolve([]),
  });
  void new ProcessMetrics(registry, {
    version: '0',
    nodeVersion: process.version,
    startedAtMs: 0,
    read: () => ({ cpuMs: 1, residentBytes: 1, heapBytes: 1 }),
    openFiles: () => Promise.resolve(1),
    eventLoopLag: () => ({ quantiles: new Map([[0.5, 0]]), sum: 0, count: 0 }),
    certificates: () => null,
  });
}
