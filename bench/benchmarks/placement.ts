/**
 * The scheduler's core alone, without a log, a disk or a network: how many tasks a leader plans per second on many nodes
 * with a long queue, and what it costs to apply those plans. Held against what that should be at least.
 */
import type { AffinityRules } from '../support/core-cluster.ts';
import { CoreCluster } from '../support/core-cluster.ts';
import type { Benchmark, BenchmarkContext, Result } from '../benchmark.ts';
import { resultOf } from '../compare.ts';
import { ratioOf, rounded } from '../statistics.ts';

const ROUNDS = { full: 5, quick: 2 };
const NODES = { few: 100, many: 10_000 };
const QUEUED = { full: 1_000_000, quick: 100_000 };
/** With rules a task is larger in memory. */
const QUEUED_WITH_RULES = { full: 350_000, quick: 50_000 };
/** Placed in one round. */
const PLACED = { full: 50_000, quick: 10_000 };
const PLAIN_AIM = 100_000;
const RULES_AIM = 20_000;
const APPLIED_AIM = 100_000;
const FLAT_AIM = 0.8;

export const placementBenchmark: Benchmark = {
  name: 'placement',
  description: 'the scheduler alone: tasks planned per second on 100 and 10,000 nodes; ceiling: the aims',
  peers: [],
  obstacle: () => null,
  run: (context) => Promise.resolve(run(context)),
};

interface Figures {
  readonly planned: number[];
  readonly applied: number[];
}

function run(context: BenchmarkContext): readonly Result[] {
  const { isQuick } = context;
  const queued = isQuick ? QUEUED.quick : QUEUED.full;
  const withRules = isQuick ? QUEUED_WITH_RULES.quick : QUEUED_WITH_RULES.full;
  const [few, many] = measured(context, 'plain', queued);
  const [fewRules, manyRules] = measured(context, 'rules', withRules);
  return [
    row('placement plain', many.planned, PLAIN_AIM),
    row('placement rules', manyRules.planned, RULES_AIM),
    row('placement applied', many.applied, APPLIED_AIM),
    flatness('placement plain flat', many.planned, few.planned),
    flatness('placement rules flat', manyRules.planned, fewRules.planned),
  ];
}

function row(name: string, figures: readonly number[], aim: number): Result {
  const aims = figures.map(() => aim);
  return resultOf({ name, unit: 'tasks/s', better: 'higher', goal: 1 }, figures, aims);
}

/** Of many nodes against few, both measured in turn. */
function flatness(name: string, many: readonly number[], few: readonly number[]): Result {
  return resultOf({ name, unit: 'tasks/s', better: 'higher', goal: FLAT_AIM }, many, few);
}

/** Few and many nodes in turn; the first round warms up. */
function measured(
  { isQuick, say, scope }: BenchmarkContext,
  rules: AffinityRules,
  queued: number,
): readonly [few: Figures, many: Figures] {
  const rounds = isQuick ? ROUNDS.quick : ROUNDS.full;
  const placed = isQuick ? PLACED.quick : PLACED.full;
  const figures = [
    { planned: [] as number[], applied: [] as number[] },
    { planned: [] as number[], applied: [] as number[] },
  ] as const;
  const counts = [NODES.few, NODES.many];
  say(`placement: queues ${queued} tasks (${rules}) twice`);
  const clusters = counts.map((nodes) => new CoreCluster({ nodes, queued, rules }));
  for (let round = 0; round <= rounds; round += 1) {
    scope.signal.throwIfAborted();
    const said = clusters.map((cluster, at) => {
      const { planMs, applyMs, count } = cluster.place(placed);
      cluster.finishAll();
      const planned = (count / planMs) * 1000;
      const applied = (count / applyMs) * 1000;
      if (round > 0) {
        figures[at]?.planned.push(planned);
        figures[at]?.applied.push(applied);
      }
      return `${counts[at]} nodes: planned ${rounded(planned)}, applied ${rounded(applied)}`;
    });
    const ratio = ratioOf('higher', figures[1].planned.at(-1) ?? 1, figures[0].planned.at(-1) ?? 1);
    say(
      `placement ${rules}: ${round === 0 ? 'warming up' : `round ${round}/${rounds}`}: ${said.join('; ')} tasks/s; ` +
        `ratio ${rounded(ratio)}`,
    );
  }
  return figures;
}
