/**
 * What measuring costs a node: the resource monitor in a process of its own, over 1,000 attempts that each are one process in a control
 * group. Held against what it should be at most. That something is known of every attempt is a condition.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { orAborted, type Scope } from '../scope.ts';
import { rounded } from '../statistics.ts';
import { type GroupKind, groupsObstacle, startMeasuredGroups } from '../support/measured-groups.ts';
import type { MonitorReport, MonitorSettings } from '../support/monitor-main.ts';

const ATTEMPTS = { full: 1000, quick: 200 };
const ROUNDS = { full: 2, quick: 1 };
/** All attempts are measured in it once or more: with a thousand that takes less than a minute. */
const ROUND_MS = { full: 60_000, quick: 20_000 };
/** The start of the program and its first round are measured with nothing. */
const WARM_UP_MS = 10_000;
const AIM_PERCENT = 1;

interface Case {
  readonly name: string;
  readonly kind: GroupKind;
  /** The node itself is in a group with limits, and its attempts outside of it. */
  readonly isConfined: boolean;
}

const CASES: readonly Case[] = [
  { name: 'counted', kind: 'full', isConfined: false },
  { name: 'bare', kind: 'bare', isConfined: false },
  { name: 'confined', kind: 'full', isConfined: true },
];

export const monitorBenchmark: Benchmark = {
  name: 'monitor',
  description: 'processor time of measuring a node and its 1,000 attempts, % of a core; ceiling: the aim',
  peers: [],
  obstacle: groupsObstacle,
  run,
};

async function run({ scope, isQuick, say }: BenchmarkContext): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const one of CASES) {
    const figures = await scope.nested((inner) => measure(one, { scope: inner, isQuick, say }));
    const aims = figures.map(() => AIM_PERCENT);
    const row = { name: `monitor ${one.name}`, unit: '%', better: 'lower', goal: 1 } as const;
    results.push(resultOf(row, figures, aims));
  }
  return results;
}

async function measure(
  { name, kind, isConfined }: Case,
  { scope, isQuick, say }: Pick<BenchmarkContext, 'scope' | 'isQuick' | 'say'>,
): Promise<readonly number[]> {
  const count = isQuick ? ATTEMPTS.quick : ATTEMPTS.full;
  const { groups, prefix, membership } = await startMeasuredGroups(scope, count, kind);
  const settings = { groups, groupPrefix: prefix, membership: isConfined ? membership : null };
  const report = await startMonitor(scope, settings);
  await delay(WARM_UP_MS, undefined, { signal: scope.signal });
  const figures: number[] = [];
  const rounds = isQuick ? ROUNDS.quick : ROUNDS.full;
  let before = await report();
  for (let round = 1; round <= rounds; round += 1) {
    await delay(isQuick ? ROUND_MS.quick : ROUND_MS.full, undefined, { signal: scope.signal });
    const after = await report();
    if (after.measured !== count || after.isConfined !== isConfined)
      throw new Error(`not everything was measured: ${JSON.stringify(after)}`);
    const percent = ((after.cpuMs - before.cpuMs) / (after.atMs - before.atMs)) * 100;
    const seconds = rounded(after.oldestMs / 1000);
    say(
      `monitor ${name}: round ${round}/${rounds}: ${rounded(percent)} %, the oldest sample is of ${seconds} s ago`,
    );
    figures.push(percent);
    before = after;
  }
  return figures;
}

/** @returns asks it how far it is */
async function startMonitor(scope: Scope, settings: MonitorSettings): Promise<() => Promise<MonitorReport>> {
  const program = fileURLToPath(new URL('../support/monitor-main.ts', import.meta.url));
  const { child } = await scope.own({
    start: () => {
      const started = spawn(process.execPath, [program, JSON.stringify(settings)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      return Promise.resolve({ child: started });
    },
    end: async ({ child: started }) => {
      const exit = once(started, 'exit');
      started.stdin.end();
      if (started.exitCode === null && started.signalCode === null) await exit;
    },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = endOf(child);
  return async () => {
    child.stdin.write('\n');
    const { value, done } = await orAborted(Promise.race([lines.next(), ended]), scope.signal);
    if (done === true) throw new Error('the monitor has ended');
    return JSON.parse(value) as MonitorReport;
  };
}

async function endOf(child: ChildProcess): Promise<never> {
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  throw new Error(`the monitor has ended with ${signal ?? code}`);
}
