/**
 * Ours and what it is held against, measured in turn A B A B within one run: machines differ from day to day and from
 * minute to minute, so only figures that were taken one right after the other are compared.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { BenchmarkContext, Result } from './benchmark.ts';
import { orAborted } from './scope.ts';
import { median, ratioOf, rounded, spread, type Better } from './statistics.ts';

/** @returns the figure of one round */
export type Measure = (signal: AbortSignal) => Promise<number>;

interface Rival {
  /** As it is called in lines of progress. */
  readonly label: string;
  readonly measure: Measure;
}

export interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly better: Better;
  readonly rounds: number;
  readonly goal: number;
  readonly ours: Measure;
  readonly ceiling: Rival;
  /** A row of its own. */
  readonly peer?: Rival;
  /** Resolves when nothing of the last measurement goes on that the next one would suffer from. */
  readonly settle?: (signal: AbortSignal) => Promise<void>;
}

/** Of a peer: to be as good as what users would take instead. */
const PEER_GOAL = 1;
/** Far above what any of them takes: something hangs. */
const MEASURE_TIMEOUT_MS = 300_000;
const SETTLE_MS = 250;

/** @throws what a measurement throws; Error where one hangs; the reason of the interruption */
export async function compare(
  { scope, say }: Pick<BenchmarkContext, 'scope' | 'say'>,
  comparison: Comparison,
): Promise<readonly Result[]> {
  const { name, unit, rounds, ours, ceiling, peer, settle = pause } = comparison;
  const sides: readonly Rival[] = [
    { label: 'ours', measure: ours },
    ceiling,
    ...(peer === undefined ? [] : [peer]),
  ];
  const figures = sides.map((): number[] => []);
  // Round 0 warms up: compilers, caches and connections are in place from then on, on all sides.
  for (let round = 0; round <= rounds; round += 1) {
    const said: string[] = [];
    for (const [at, { label, measure }] of sides.entries()) {
      await settle(scope.signal);
      const figure = await bounded(`${name}: ${label}`, measure, scope.signal);
      if (round > 0) figures[at]?.push(figure);
      said.push(`${label} ${rounded(figure)}`);
    }
    say(`${name}: ${round === 0 ? 'warming up' : `round ${round}/${rounds}`}: ${said.join(', ')} ${unit}`);
  }
  const [oursFigures = [], ceilingFigures = [], peerFigures = []] = figures;
  const results = [resultOf(comparison, oursFigures, ceilingFigures)];
  if (peer !== undefined) {
    const against = { ...comparison, name: `${name} vs ${peer.label}`, goal: PEER_GOAL };
    results.push(resultOf(against, oursFigures, peerFigures));
  }
  return results;
}

type Row = Pick<Comparison, 'name' | 'unit' | 'better' | 'goal'>;

export function resultOf(row: Row, ours: readonly number[], others: readonly number[]): Result {
  const { name, unit, better, goal } = row;
  const ratios = ours.map((figure, round) => ratioOf(better, figure, others[round] ?? Number.NaN));
  return {
    name,
    unit,
    median: rounded(median(ours)),
    spread: rounded(spread(ours)),
    ceiling: rounded(median(others)),
    ratio: rounded(median(ratios)),
    goal: rounded(goal),
  };
}

async function pause(signal: AbortSignal): Promise<void> {
  await delay(SETTLE_MS, undefined, { signal });
}

async function bounded(what: string, measure: Measure, interrupted: AbortSignal): Promise<number> {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new Error(`${what}: a measurement took more than ${MEASURE_TIMEOUT_MS / 1000} s`)),
    MEASURE_TIMEOUT_MS,
  );
  const signal = AbortSignal.any([interrupted, deadline.signal]);
  try {
    return await orAborted(measure(signal), signal);
  } finally {
    clearTimeout(timer);
  }
}
