/** All benchmarks, in the order in which they run. */
import type { Benchmark } from './benchmark.ts';
import { commitBenchmark } from './benchmarks/commit.ts';
import { dockerBenchmark } from './benchmarks/docker.ts';
import { failoverBenchmark } from './benchmarks/failover.ts';
import { idleBenchmark } from './benchmarks/idle.ts';
import { lifecycleBenchmark } from './benchmarks/lifecycle.ts';
import { metricsBenchmark } from './benchmarks/metrics.ts';
import { monitorBenchmark } from './benchmarks/monitor.ts';
import { outputBenchmark } from './benchmarks/output.ts';
import { placementBenchmark } from './benchmarks/placement.ts';
import { processBenchmark } from './benchmarks/process.ts';

export const CATALOGUE: readonly Benchmark[] = [
  placementBenchmark,
  metricsBenchmark,
  lifecycleBenchmark,
  processBenchmark,
  commitBenchmark,
  failoverBenchmark,
  idleBenchmark,
  monitorBenchmark,
  outputBenchmark,
  dockerBenchmark,
];
