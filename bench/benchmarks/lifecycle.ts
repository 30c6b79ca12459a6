/**
 * Whole lives of tasks that do nothing on three real nodes: submitted, placed, run and COMPLETED, each step of it committed
 * and synced by a majority. How many per second, and how long one takes alone. Held against what that should be.
 */
import type { TestCluster } from '../../test/support/cluster.ts';
import { IS_BUILT } from '../../test/support/program.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { percentile, rounded } from '../statistics.ts';
import { ClusterClient, startCluster } from '../support/clusters.ts';
import { cpuMsOf } from '../support/process-usage.ts';
import { Lifecycles } from '../support/lifecycles.ts';

const NODES = 3;
/** Far more room than tasks are under way: what is measured is not how many fit. */
const CAPACITY = 'cpu=400,memory=400Gi';
const RATE_ROUNDS = { full: 5, quick: 2 };
/** Of one round. */
const TASKS = { full: 40_000, quick: 10_000 };
const RATE_AIM = 15_000;
const LATENCY_ROUNDS = { full: 5, quick: 2 };
/** Of one round, one after the other. */
const SINGLES = { full: 300, quick: 100 };
const MEDIAN_AIM_MS = 10;
const P99_AIM_MS = 30;

export const lifecycleBenchmark: Benchmark = {
  name: 'lifecycle',
  description:
    'whole lives of tasks that do nothing, on three nodes: how many, and one alone; ceiling: the aims',
  peers: [],
  obstacle: () => (process.platform === 'linux' ? null : `Jarvis runs on Linux, this is ${process.platform}`),
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  context.say(
    `lifecycle: measures ${IS_BUILT ? 'the programs that were built' : 'the sources, which users do not run'}`,
  );
  // Anew each time: else the later ones would bear the state of those before them.
  return [
    ...(await latencies(context)),
    ...(await rates(context, 'streamed')),
    ...(await rates(context, 'batch')),
  ];
}

/** A client that has another node than the leader, as two of three have. */
async function latencies({ isQuick, scope, say }: BenchmarkContext): Promise<readonly Result[]> {
  const rounds = isQuick ? LATENCY_ROUNDS.quick : LATENCY_ROUNDS.full;
  const medians: number[] = [];
  const p99s: number[] = [];
  await scope.nested(async (inner) => {
    const cluster = await startCluster(inner, { nodes: NODES, drivers: 'noop', capacity: CAPACITY });
    const client = await ClusterClient.connect({ scope: inner, say }, cluster);
    for (let round = 0; round <= rounds; round += 1) {
      const times: number[] = [];
      for (let at = 0; at < (isQuick ? SINGLES.quick : SINGLES.full); at += 1)
        times.push(await client.run({ command: ['noop'] }, 1, inner.signal));
      const [middle, p99] = [percentile(times, 50), percentile(times, 99)];
      if (round > 0) {
        medians.push(middle);
        p99s.push(p99);
      }
      say(`lifecycle latency: ${nameOf(round, rounds)}: p50 ${rounded(middle)} ms, p99 ${rounded(p99)} ms`);
    }
  });
  return [
    row({ name: 'latency', unit: 'ms', better: 'lower' }, medians, MEDIAN_AIM_MS),
    row({ name: 'latency p99', unit: 'ms', better: 'lower' }, p99s, P99_AIM_MS),
  ];
}

async function rates(
  { isQuick, scope, say }: BenchmarkContext,
  shape: 'streamed' | 'batch',
): Promise<readonly Result[]> {
  const rounds = isQuick ? RATE_ROUNDS.quick : RATE_ROUNDS.full;
  const count = isQuick ? TASKS.quick : TASKS.full;
  const figures: number[] = [];
  await scope.nested(async (inner) => {
    const cluster = await startCluster(inner, { nodes: NODES, drivers: 'noop', capacity: CAPACITY });
    const client = await Lifecycles.connect({ scope: inner, say }, cluster);
    const usage = await usageOf(cluster);
    for (let round = 0; round <= rounds; round += 1) {
      const before = usage();
      const lived = await client[shape](count, inner.signal);
      const spent = usage().map((ms, at) => `${rounded(((ms - (before[at] ?? 0)) * 1000) / count)} us`);
      const rate = (count * 1000) / lived.tookMs;
      if (round > 0) figures.push(rate);
      const [leader, others, own] = spent;
      say(
        `lifecycle ${shape}: ${nameOf(round, rounds)}: ${rounded(rate)} tasks/s; ` +
          `processor time per task: leader ${leader}, followers together ${others}, client ${own}`,
      );
      await lived.confirm(inner.signal);
    }
  });
  return [row({ name: shape, unit: 'tasks/s', better: 'higher' }, figures, RATE_AIM)];
}

/** Depends less on what else the machine does than a rate: milliseconds of processor time of the leader, of all followers, and of this process. */
async function usageOf(cluster: TestCluster): Promise<() => readonly number[]> {
  const leader = await cluster.leader();
  const followers = cluster.nodes.filter((node) => node !== leader).map(({ pid }) => pid);
  return () => [cpuMsOf([leader.pid]), cpuMsOf(followers), cpuMsOf([process.pid])];
}

/** The first round warms up. */
function nameOf(round: number, rounds: number): string {
  return round === 0 ? 'warming up' : `round ${round}/${rounds}`;
}

function row(
  { name, ...rest }: Pick<Parameters<typeof resultOf>[0], 'name' | 'unit' | 'better'>,
  figures: readonly number[],
  aim: number,
): Result {
  return resultOf(
    { ...rest, name: `lifecycle ${name}`, goal: 1 },
    figures,
    figures.map(() => aim),
  );
}
