/** How fast the cluster gets processes done, against a program that does nothing but spawn them. */
import { spawn } from 'node:child_process';

import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { compare } from '../compare.ts';
import { atOnce } from '../support/at-once.ts';
import { ClusterClient, MAX_BATCH, startCluster } from '../support/clusters.ts';

const NODES = 3;
const TASKS = { full: MAX_BATCH, quick: 300 };
const ROUNDS = { full: 7, quick: 3 };
/** More do not make spawning any faster. */
const SPAWNED_AT_ONCE = 8;
const PROGRAM = '/bin/true';
const GOAL = 0.6;
/** Twenty times what Slurm was measured to do, 11.7/s. */
const SLURM = { label: '20 x slurm', rate: 20 * 11.7 };

export const processBenchmark: Benchmark = {
  name: 'process',
  description: 'process tasks that do nothing, on three nodes; ceiling: bare child_process.spawn, 8 at once',
  peers: [],
  obstacle: () => (process.platform === 'linux' ? null : `Jarvis runs on Linux, this is ${process.platform}`),
  run,
};

async function run(context: BenchmarkContext): Promise<readonly Result[]> {
  const { isQuick, scope } = context;
  const count = isQuick ? TASKS.quick : TASKS.full;
  const cluster = await startCluster(scope, { nodes: NODES });
  const client = await ClusterClient.connect(context, cluster);
  return compare(context, {
    name: 'process',
    unit: 'tasks/s',
    better: 'higher',
    rounds: isQuick ? ROUNDS.quick : ROUNDS.full,
    goal: GOAL,
    ours: async (signal) => (count * 1000) / (await client.run({ command: [PROGRAM] }, count, signal)),
    ceiling: { label: 'bare', measure: (signal) => spawnRate(count, signal) },
    peer: { label: SLURM.label, measure: () => Promise.resolve(SLURM.rate) },
  });
}

async function spawnRate(count: number, signal: AbortSignal): Promise<number> {
  const begunMs = performance.now();
  await atOnce({ count, width: SPAWNED_AT_ONCE, signal }, spawnOnce);
  return (count * 1000) / (performance.now() - begunMs);
}

function spawnOnce(): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, { stdio: 'ignore' });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${PROGRAM} ended with ${signal ?? code}`));
    });
  });
}
