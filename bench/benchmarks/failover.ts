/**
 * What clients notice of a leader that dies, stops or is cut off: how long nothing is acknowledged. Three nodes in
 * network namespaces of their own, clients at all of them. Held against the time that it should take at most.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { NodeProcess } from '../../test/support/node-process.ts';
import type { TestCluster } from '../../test/support/cluster.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { median, percentile, rounded } from '../statistics.ts';
import { Cables, cablesObstacle } from '../support/cables.ts';
import { startCluster } from '../support/clusters.ts';
import { gapMs, SteadyLoad } from '../support/steady-load.ts';

const NODES = 3;
const TIMES = { full: 30, quick: 5 };
/** Before each fault, so that it meets a cluster that works. */
const WARM_SUBMITS = 100;
/** After it: enough to tell the end of the silence from an answer that was on its way. */
const SUBMITS_AFTER = 60;
/** Faults come at any time between two heartbeats. */
const SPREAD_MS = 60;
const P99_AIM_MS = 1000;

interface Fault {
  readonly name: string;
  readonly medianAimMs: number;
  readonly strike: (parts: Parts, leader: NodeProcess) => Promise<void>;
  readonly heal: (parts: Parts, leader: NodeProcess) => Promise<void>;
}

interface Parts {
  readonly cluster: TestCluster;
  readonly cables: Cables;
  readonly load: SteadyLoad;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'killed',
    medianAimMs: 300,
    strike: async (_parts, leader) => leader.signal('SIGKILL'),
    heal: async (_parts, leader) => {
      await leader.ended;
      leader.start();
    },
  },
  {
    name: 'stopped',
    medianAimMs: 700,
    strike: async (_parts, leader) => leader.signal('SIGSTOP'),
    heal: async (_parts, leader) => leader.signal('SIGCONT'),
  },
  {
    name: 'cut off',
    medianAimMs: 700,
    strike: ({ cluster, cables }, leader) => cables.pull(cluster.nodes.indexOf(leader)),
    heal: ({ cluster, cables }, leader) => cables.plug(cluster.nodes.indexOf(leader)),
  },
];

export const failoverBenchmark: Benchmark = {
  name: 'failover',
  description:
    'the leader is killed, stopped and cut off: until a submit is acknowledged; ceiling: the time aimed at',
  peers: [],
  obstacle: cablesObstacle,
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { scope, isQuick, say } = context;
  const cables = await Cables.own(scope, NODES);
  const cluster = await startCluster(scope, { nodes: NODES, drivers: 'noop', hosts: cables.hosts });
  const load = await SteadyLoad.own(
    scope,
    cluster.nodes.map(({ settings }) => settings.listen),
  );
  const parts = { cluster, cables, load };
  const results: Result[] = [];
  for (const fault of FAULTS) {
    const gaps: number[] = [];
    // The first one warms up.
    for (let time = 0; time <= (isQuick ? TIMES.quick : TIMES.full); time += 1) {
      scope.signal.throwIfAborted();
      const gap = await once(parts, fault);
      if (time > 0) gaps.push(gap);
      say(`failover ${fault.name}: ${time === 0 ? 'warming up' : time}: ${rounded(gap)} ms`);
    }
    results.push(...resultsOf(fault, gaps));
  }
  return results;
}

/** @returns the gap, in milliseconds; the cluster is whole again by then */
async function once(parts: Parts, fault: Fault): Promise<number> {
  const { cluster, load } = parts;
  await load.next(WARM_SUBMITS);
  const leader = await leaderOf(cluster);
  await delay(Math.random() * SPREAD_MS);
  const after = load.next(SUBMITS_AFTER);
  const faultMs = performance.now();
  await fault.strike(parts, leader);
  const gap = gapMs(faultMs, await after);
  await fault.heal(parts, leader);
  await cluster.ready();
  await waitFor('all members to be heard of', async () => {
    const { members } = await (await leaderOf(cluster)).api.cluster({ timeoutMs: 5000 });
    return members.every(({ active }) => active);
  });
  load.sendHome();
  return gap;
}

/** A node that does not answer yet, or is of two minds, is asked again. */
function leaderOf(cluster: TestCluster): Promise<NodeProcess> {
  return cluster.leader({ intervalMs: 20 });
}

function resultsOf({ name, medianAimMs }: Fault, gaps: readonly number[]): readonly Result[] {
  const row = { unit: 'ms', better: 'lower', goal: 1 } as const;
  const middle = resultOf(
    { ...row, name: `failover ${name}` },
    gaps,
    gaps.map(() => medianAimMs),
  );
  const p99 = percentile(gaps, 99);
  return [
    // The ratio of the medians: a fault is not paired with anything.
    { ...middle, ratio: rounded(medianAimMs / median(gaps)) },
    resultOf({ ...row, name: `failover ${name} p99` }, [p99], [P99_AIM_MS]),
  ];
}
