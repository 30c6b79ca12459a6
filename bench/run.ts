/** Runs benchmarks one after the other; one that fails does not keep the others from being measured. */
import { setTimeout as delay } from 'node:timers/promises';

import { messageOf } from '../src/lib/errors.ts';
import type { Benchmark, Result } from './benchmark.ts';
import { orAborted, Scope } from './scope.ts';

const SIGNAL_MS = 100;

export interface RunSettings {
  readonly isQuick: boolean;
  readonly peer: string | null;
  /** Then whatever cannot run here is a failure: nobody would notice that it was left out. */
  readonly isCi: boolean;
  readonly interrupted: AbortSignal;
  readonly say: (message: string) => void;
}

export interface Run {
  readonly results: readonly Result[];
  readonly hasFailed: boolean;
}

/** Nothing that they have started is left when it resolves. */
export async function runBenchmarks(benchmarks: readonly Benchmark[], settings: RunSettings): Promise<Run> {
  const { isCi, interrupted, say } = settings;
  const results: Result[] = [];
  let hasFailed = false;
  for (const benchmark of benchmarks) {
    if (interrupted.aborted) break;
    const peer = benchmark.peers.includes(settings.peer ?? '') ? settings.peer : null;
    const obstacle = benchmark.obstacle(peer);
    if (obstacle !== null) {
      say(`${benchmark.name}: ${isCi ? 'cannot run' : 'skipped'}: ${obstacle}`);
      hasFailed ||= isCi;
      continue;
    }
    const rows = await runOne(benchmark, { ...settings, peer });
    if (rows === null) hasFailed = true;
    else results.push(...rows);
  }
  return { results, hasFailed };
}

/** @returns null where it, or the end of what it has started, fails */
async function runOne(benchmark: Benchmark, settings: RunSettings): Promise<readonly Result[] | null> {
  const { isQuick, peer, interrupted, say } = settings;
  const scope = new Scope(interrupted);
  let results: readonly Result[] | null = null;
  try {
    results = await orAborted(benchmark.run({ isQuick, peer, scope, say }), interrupted);
  } catch (error) {
    // A Ctrl-C reaches the nodes as well: their end may be seen before it is known why.
    await delay(SIGNAL_MS);
    if (!interrupted.aborted) {
      say(`${benchmark.name}: failed: ${messageOf(error)}\n${scope.describe()}`.trimEnd());
    }
  }
  try {
    await scope.end();
  } catch (error) {
    say(`${benchmark.name}: not everything could be ended: ${messageOf(error)}`);
    results = null;
  }
  return results;
}
