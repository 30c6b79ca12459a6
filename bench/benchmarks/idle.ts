/**
 * What a node costs that has nothing to do, and how soon it is there again: memory and processor of the daemon with its
 * watchdog, and the time from its start until it is ready. Held against what that should be at most.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { TestCluster } from '../../test/support/cluster.ts';
import type { NodeProcess } from '../../test/support/node-process.ts';
import { processesOf } from '../../test/support/processes.ts';
import { IS_BUILT } from '../../test/support/program.ts';
import { waitFor } from '../../test/support/wait.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { rounded } from '../statistics.ts';
import { startCluster } from '../support/clusters.ts';
import { cpuMsOf, proportionalBytesOf, residentBytesOf } from '../support/process-usage.ts';

const NODES = 3;
const ROUNDS = { full: 3, quick: 1 };
const ROUND_MS = { full: 20_000, quick: 6000 };
const RESTARTS = { full: 10, quick: 3 };
const MEMORY_AIM_MB = 160;
const CPU_AIM_PERCENT = 1;
const READY_AIM_MS = 1500;
const BYTES_PER_MB = 1e6;
/** The daemon and its watchdog. */
const PROCESSES = 2;
/** Compilers and collectors go on for a while after a start: until none of the nodes takes more than this of a core. */
const QUIET_PERCENT = 5;
const QUIET_LOOK_MS = 1000;
/** One that never becomes quiet is measured all the same: that is what its users have. */
const QUIET_LOOKS = 20;
/** Small beside what is measured. */
const READY_LOOK_MS = 10;

export const idleBenchmark: Benchmark = {
  name: 'idle',
  description:
    'memory and cpu of a node with its watchdog, nothing to do; its start until ready; ceiling: the aims',
  peers: [],
  obstacle: () => (process.platform === 'linux' ? null : `Jarvis runs on Linux, this is ${process.platform}`),
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { scope, say } = context;
  say(`idle: measures ${IS_BUILT ? 'the programs that were built' : 'the sources, which users do not run'}`);
  const cluster = await startCluster(scope, { nodes: NODES });
  const usages = await usagesOf(cluster, context);
  const readyMs = await restartsOf(cluster, context);
  return [
    row(
      'memory',
      'MB',
      usages.map(({ memoryMb }) => memoryMb),
      MEMORY_AIM_MB,
    ),
    row(
      'cpu',
      '%',
      usages.map(({ cpuPercent }) => cpuPercent),
      CPU_AIM_PERCENT,
    ),
    row('ready', 'ms', readyMs, READY_AIM_MS),
  ];
}

function row(name: string, unit: string, figures: readonly number[], aim: number): Result {
  const aims = figures.map(() => aim);
  return resultOf({ name: `idle ${name}`, unit, better: 'lower', goal: 1 }, figures, aims);
}

interface Usage {
  readonly memoryMb: number;
  readonly cpuPercent: number;
}

/** Of each round the node that took most, which mostly is the leader: the aims are those of every node. */
async function usagesOf(
  cluster: TestCluster,
  { isQuick, scope, say }: BenchmarkContext,
): Promise<readonly Usage[]> {
  const nodes = cluster.nodes.map(pidsOf);
  await untilQuiet(nodes, scope.signal);
  const usages: Usage[] = [];
  const rounds = isQuick ? ROUNDS.quick : ROUNDS.full;
  for (let round = 1; round <= rounds; round += 1) {
    const cpu = await cpuPercents(nodes, isQuick ? ROUND_MS.quick : ROUND_MS.full, scope.signal);
    const memory = nodes.map((pids) => residentBytesOf(pids) / BYTES_PER_MB);
    const shared = nodes.map((pids) => proportionalBytesOf(pids) / BYTES_PER_MB);
    usages.push({ memoryMb: Math.max(...memory), cpuPercent: Math.max(...cpu) });
    const [cpuSaid, memorySaid, sharedSaid] = [cpu, memory, shared].map(listed);
    say(
      `idle: round ${round}/${rounds}: cpu ${cpuSaid} %, memory ${memorySaid} MB (proportional ${sharedSaid})`,
    );
  }
  return usages;
}

async function untilQuiet(nodes: readonly (readonly number[])[], signal: AbortSignal): Promise<void> {
  for (let look = 0; look < QUIET_LOOKS; look += 1) {
    const percents = await cpuPercents(nodes, QUIET_LOOK_MS, signal);
    if (Math.max(...percents) <= QUIET_PERCENT) return;
  }
}

/** Of each node, over so long. */
async function cpuPercents(
  nodes: readonly (readonly number[])[],
  durationMs: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const begunMs = performance.now();
  const before = nodes.map(cpuMsOf);
  await delay(durationMs, undefined, { signal });
  const after = nodes.map(cpuMsOf);
  const tookMs = performance.now() - begunMs;
  return after.map((ms, at) => ((ms - (before[at] ?? 0)) / tookMs) * 100);
}

function pidsOf({ name, settings }: NodeProcess): readonly number[] {
  const found = processesOf(settings.dataDir);
  if (found.length === PROCESSES) return found.map(({ pid }) => pid);
  const commandLines = found.map(({ commandLine }) => commandLine).join('; ');
  throw new Error(`${name} is to be a daemon and a watchdog, it is ${commandLines}`);
}

/** A follower, its watchdog gone as well, each time: from its start until it says that it is ready. */
async function restartsOf(
  cluster: TestCluster,
  { isQuick, scope, say }: BenchmarkContext,
): Promise<readonly number[]> {
  const figures: number[] = [];
  const times = isQuick ? RESTARTS.quick : RESTARTS.full;
  // The first one warms up.
  for (let time = 0; time <= times; time += 1) {
    scope.signal.throwIfAborted();
    const [follower] = await cluster.followers();
    if (follower === undefined) throw new Error('there is no follower');
    const figure = await restartMs(follower);
    if (time > 0) figures.push(figure);
    say(`idle ready: ${time === 0 ? 'warming up' : `${time}/${times}`}: ${rounded(figure)} ms`);
  }
  return figures;
}

async function restartMs(node: NodeProcess): Promise<number> {
  const { code, signal } = await node.end('SIGTERM');
  if (code !== 0) throw new Error(`${node.name} ended with ${signal ?? code}`);
  await waitFor(`the end of ${node.name}'s watchdog`, () => processesOf(node.settings.dataDir).length === 0);
  const begunMs = performance.now();
  node.start();
  await waitFor(`${node.name} is ready`, () => node.api.isReady(), { intervalMs: READY_LOOK_MS });
  return performance.now() - begunMs;
}

function listed(figures: readonly number[]): string {
  return figures.map((figure) => rounded(figure)).join(', ');
}
