import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Autoscaling, ScalingRule } from '../../model/autoscaling.ts';
import { runs } from '../../lib/testing/property-runs.ts';
import type { Arrival, Simulation } from './simulator.ts';
import { simulate } from './simulator.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

function rule(metric: ScalingRule['metric'], threshold: number, count = 1, cooldownMs = 0): ScalingRule {
  return { metric, threshold, count, cooldownMs };
}

const SETTINGS = {
  minNodes: 1,
  maxNodes: 20,
  intervalMs: 10 * SECOND_MS,
  scaleUpRules: [rule('queue_depth', 100, 2), rule('average_wait_time', 300)],
  scaleDownRules: [rule('cluster_utilization', 30, 1, 10 * MINUTE_MS)],
} satisfies Partial<Autoscaling>;
const NODES = { slots: 10, bootMs: 90 * SECOND_MS, founders: 3 };

/** So many tasks every second. */
function steady(tasks: number, durationMs: number, untilMs: number): readonly Arrival[] {
  return Array.from({ length: untilMs / SECOND_MS }, (_, at) => ({
    atMs: at * SECOND_MS,
    tasks,
    durationMs,
  }));
}

/** How often it went from adding to removing, or back. */
function reversals({ steps }: Simulation): number {
  const actions = steps.map(({ decision }) => decision.action).filter((action) => action !== 'none');
  return actions.filter((action, at) => at > 0 && action !== actions[at - 1]).length;
}

describe('the simulator of scaling', () => {
  it('grows for a burst, drains it, and shrinks to the founders again', () => {
    const arrivals = [{ atMs: 0, tasks: 500, durationMs: 2 * MINUTE_MS }];
    const run = simulate(SETTINGS, NODES, { arrivals, untilMs: 4 * HOUR_MS });
    expect(run.steps[0]).toMatchObject({
      active: 3,
      queued: 470,
      decision: { action: 'add_nodes', count: 2 },
    });
    expect(run.completed).toBe(500);
    expect(Math.max(...run.steps.map(({ active }) => active))).toBeGreaterThan(5);
    expect(run.steps.at(-1)).toMatchObject({ active: 3, joining: 0, leaving: 0, queued: 0 });
    expect(reversals(run)).toBe(1);
  });

  it('does nothing for what the founders can do', () => {
    const arrivals = steady(1, 20 * SECOND_MS, HOUR_MS);
    const run = simulate(SETTINGS, NODES, { arrivals, untilMs: HOUR_MS });
    expect(run.steps.filter(({ decision }) => decision.action !== 'none')).toEqual([]);
    expect(run).toMatchObject({ nodeHours: 3, idealNodeHours: 3, averageWait: 0, longestWait: 0 });
  });

  it('costs more than who knows the future, and not without measure', () => {
    const arrivals = [
      ...steady(1, MINUTE_MS, HOUR_MS),
      { atMs: HOUR_MS, tasks: 2000, durationMs: 3 * MINUTE_MS },
    ];
    const { nodeHours, idealNodeHours, completed } = simulate(SETTINGS, NODES, {
      arrivals,
      untilMs: 6 * HOUR_MS,
    });
    expect(completed).toBe(3600 + 2000);
    expect(nodeHours).toBeGreaterThan(idealNodeHours);
    expect(nodeHours / idealNodeHours).toBeLessThan(3);
  });

  it('looks at the rules once in each interval, also where that is no whole number of seconds', () => {
    const settings = { ...SETTINGS, intervalMs: 7300 };
    const { steps } = simulate(settings, NODES, { arrivals: [], untilMs: 1000 * SECOND_MS });
    expect(steps.length).toBe(137);
    expect(steps.slice(0, 5).map(({ atMs }) => atMs / SECOND_MS)).toEqual([0, 8, 15, 22, 30]);
  });

  it('costs no less than who knows the future pays, where nothing waits', () => {
    const arrival = fc.record({
      atMs: fc.nat({ max: 3600 }).map((seconds) => seconds * SECOND_MS),
      tasks: fc.integer({ min: 1, max: 12 }),
      durationMs: fc.integer({ min: 1, max: 1200 }).map((seconds) => seconds * SECOND_MS),
    });
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 15 }), (unsorted) => {
        const arrivals = unsorted.toSorted((a, b) => a.atMs - b.atMs);
        const run = simulate(SETTINGS, NODES, { arrivals, untilMs: 2 * HOUR_MS });
        fc.pre(run.longestWait === 0 && run.steps.every(({ queued }) => queued === 0));
        expect(run.nodeHours).toBeGreaterThanOrEqual(run.idealNodeHours - 1e-9);
      }),
      { numRuns: runs(100) },
    );
  });

  it('stays within its bounds, and is the same each time, whatever comes', () => {
    const bursts = fc.array(
      fc.record({
        atMs: fc.nat({ max: 3600 }).map((seconds) => seconds * SECOND_MS),
        tasks: fc.integer({ min: 1, max: 400 }),
        durationMs: fc.integer({ min: 1, max: 600 }).map((seconds) => seconds * SECOND_MS),
      }),
      { maxLength: 20 },
    );
    const bounds = fc.record({ minNodes: fc.integer({ min: 1, max: 6 }), more: fc.nat({ max: 20 }) });
    fc.assert(
      fc.property(bursts, bounds, (unsorted, { minNodes, more }) => {
        const arrivals = unsorted.toSorted((a, b) => a.atMs - b.atMs);
        const settings = { ...SETTINGS, minNodes, maxNodes: Math.max(3, minNodes + more) };
        const run = simulate(settings, NODES, { arrivals, untilMs: HOUR_MS });
        for (const { active, joining } of run.steps) {
          expect(active + joining).toBeLessThanOrEqual(settings.maxNodes);
          expect(active).toBeGreaterThanOrEqual(3);
        }
        expect(run.nodeHours).toBeGreaterThanOrEqual(3);
        expect(simulate(settings, NODES, { arrivals, untilMs: HOUR_MS })).toEqual(run);
      }),
      { numRuns: runs(30) },
    );
  });

  it('does not swing under a steady load between rules that are close to each other', () => {
    const settings = {
      ...SETTINGS,
      intervalMs: 5 * SECOND_MS,
      scaleUpRules: [rule('cluster_utilization', 64, 3)],
      scaleDownRules: [rule('cluster_utilization', 56, 4, MINUTE_MS)],
    };
    // Two tasks every eight seconds: 64 or 66 run at a time.
    const untilMs = 4 * HOUR_MS;
    const arrivals = steady(2, 258 * SECOND_MS, untilMs).filter((_, at) => at % 8 === 0);
    const run = simulate(settings, { ...NODES, slots: 20 }, { arrivals, untilMs });
    expect(reversals(run)).toBeLessThanOrEqual(2);
  });

  it('does not swing under a steady load', () => {
    const loads = fc.record({
      tasks: fc.integer({ min: 1, max: 6 }),
      seconds: fc.integer({ min: 5, max: 120 }),
    });
    fc.assert(
      fc.property(loads, ({ tasks, seconds }) => {
        const untilMs = 4 * HOUR_MS;
        const arrivals = steady(tasks, seconds * SECOND_MS, untilMs);
        const run = simulate(SETTINGS, NODES, { arrivals, untilMs });
        // Up to what it takes, and perhaps down again once from what was too much; never to and fro.
        expect(reversals(run)).toBeLessThanOrEqual(2);
      }),
      { numRuns: runs(30) },
    );
  });
});
