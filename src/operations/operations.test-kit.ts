/** For tests: the operations of the nodes of a {@link TestCluster}. */
import { NodeUsage } from '../generated/cluster.ts';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import { LogLevels } from '../lib/log-levels.ts';
import { silentLog } from '../lib/log.ts';
import { FreshnessWatch } from './freshness.ts';
import type { ClusterInsight, ScalingInsight } from './insight.ts';
import { LocalOperations } from './local.ts';
import { localLogLevel } from './log-level.ts';
import { memberParts } from './member-parts.ts';
import type { LocalLogs, LocalUsage, MembershipControl, Remotes, TestWebhook } from './node-port.ts';
import type { CallContext } from './port.ts';
import { RoutingOperations } from './router.ts';
import type { TestCluster } from './test-cluster.test-kit.ts';

const LOG_FACTS = { segments: 1, bytes: 4096, lastFsyncMs: 2, pending: 0 };

/** What `name` knows of n1, n2 and n3, which lag behind by one entry each. */
function insightOf(cluster: TestCluster, name: string): ClusterInsight {
  const names = ['n1', 'n2', 'n3'];
  const leads = (): boolean => cluster.leader === name;
  return {
    lastHeartbeatMs: () => Date.UTC(2026, 10, 24, 12),
    silentMs: (node) => cluster.silentMs.get(node) ?? 0,
    usage: () => ({
      cpu_percent: 12.5,
      memory_bytes: 1024,
      disk_bytes: 0,
      network_bytes_per_second: 0,
      network_receive_bytes_per_second: 0,
      network_transmit_bytes_per_second: 0,
      disk_size_bytes: 0,
      memory_size_bytes: 0,
      wall_ms: 0,
      pressure: [],
      cpu_scope: '',
    }),
    commitIndex: () => 17,
    members: () =>
      names.map((member, index) => ({
        name: member,
        raftId: index + 1,
        incarnation: `incarnation-of-${member}`,
        address: `${member}:7101`,
        role: 'voter',
        incoming: true,
        outgoing: false,
        matchIndex: 17 - index,
        nextIndex: 18,
        state: !leads() ? 'unknown' : member === name ? 'leader' : 'replicate',
        active: true,
        inflight: index,
        isPaused: false,
        lastContactMs: member === name ? 0 : 20,
        snapshot: null,
        lastWords: [],
      })),
    node: () => ({
      clusterId: cluster.state.cluster?.clusterId ?? '',
      epoch: cluster.state.cluster?.epoch ?? 0,
      version: '0.1.0',
      raftId: names.indexOf(name) + 1,
      role: leads() ? 'leader' : 'follower',
      term: cluster.term,
      vote: 0,
      leader: names.indexOf(cluster.leader ?? '') + 1,
      commitIndex: 17,
      appliedIndex: 17,
      firstIndex: 1,
      lastIndex: 17,
      durableIndex: 17,
      uncommittedBytes: 0,
      log: LOG_FACTS,
      diskErrors: [],
      stateDifference: null,
      refusals: new Map(),
      transferTarget: 0,
      learnersNext: [],
      autoLeave: false,
    }),
  };
}

/** A caller that stays. */
export function testContext(changes: Partial<CallContext> = {}): CallContext {
  return { principal: 'anonymous', signal: new AbortController().signal, forwarded: false, ...changes };
}

const noLogs: LocalLogs = {
  async *read() {},
};

const noChanges: MembershipControl = {
  change: async () => {},
  transfer: async () => {},
};

/** The operations of one node of the cluster. */
export function testOperations(
  cluster: TestCluster,
  name: string,
  parts: {
    readonly remotes: Remotes;
    readonly localLogs?: LocalLogs;
    readonly localUsage?: LocalUsage;
    readonly logLevels?: LogLevels;
    readonly clock?: Clock;
    readonly membership?: MembershipControl;
    readonly authorityHash?: () => string;
    readonly testWebhook?: TestWebhook;
  },
): RoutingOperations {
  const replica = cluster.replica(name);
  let keys = 0;
  const clock = parts.clock ?? systemClock;
  const freshness = new FreshnessWatch({ replica, insight: insightOf(cluster, name), clock });
  const routing: RoutingOperations = new RoutingOperations({
    ...memberParts({ replica, local: testLocal(cluster, name, parts), clock, routing: () => routing }),
    authorityHash: parts.authorityHash ?? (() => null),
    remotes: parts.remotes,
    localLogs: parts.localLogs ?? noLogs,
    localUsage: parts.localUsage ?? { read: async () => NodeUsage.create({ node: name }) },
    localLogLevel: localLogLevel(name, parts.logLevels ?? new LogLevels('info', clock), silentLog),
    clock,
    freshness: () => freshness.now(),
    uniqueId: () => `${name}-${(keys += 1)}`,
    version: { version: '0.1.0', name, node_version: process.version },
  });
  return routing;
}

/** What it answers by itself, while it leads. */
export function testLocal(
  cluster: TestCluster,
  name: string,
  parts: {
    readonly remotes: Remotes;
    readonly membership?: MembershipControl;
    readonly testWebhook?: TestWebhook;
  },
): LocalOperations {
  return new LocalOperations({
    replica: cluster.replica(name),
    insight: insightOf(cluster, name),
    membership: parts.membership ?? noChanges,
    snapshots: {
      async *save() {
        yield { data: Buffer.from('a snapshot') };
      },
    },
    remotes: parts.remotes,
    clock: { wallMs: () => cluster.nowMs },
    testWebhook: parts.testWebhook ?? (() => Promise.resolve({ failure: null, status: 200 })),
    scaling: idleScaling,
  });
}

/** Nothing is to be done. */
const idleScaling: ScalingInsight = {
  evaluatedAtMs: null,
  preview: () => ({
    load: {
      queueDepth: 0,
      averageWaitTime: 0,
      longestWaitTime: 0,
      utilization: 0,
      unplaceable: 0,
      nodes: 3,
    },
    size: { active: 3, joining: 0, leaving: 0 },
    decision: { desired: 3, reason: 'no rule fires', rules: [] },
  }),
};

/** Time passes only while somebody waits for it, and then at once. */
export function impatientClock(): Clock {
  let nowMs = 0;
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (delayMs, callback) => {
      const timer = setImmediate(() => {
        nowMs += delayMs;
        callback();
      });
      return () => clearImmediate(timer);
    },
  };
}
