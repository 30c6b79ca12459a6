import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Autoscaling, ScalingRule } from '../../model/autoscaling.ts';
import { runs } from '../../lib/testing/property-runs.ts';
import type { PolicyInput } from './policy.ts';
import { decide } from './policy.ts';

const MINUTE_MS = 60_000;

function rule(metric: ScalingRule['metric'], threshold: number, count = 1, cooldownMs = 0): ScalingRule {
  return { metric, threshold, count, cooldownMs };
}

/** As they stand in use case 8. */
const SETTINGS = {
  minNodes: 1,
  maxNodes: 20,
  intervalMs: 10_000,
  scaleUpRules: [rule('queue_depth', 100, 2), rule('average_wait_time', 300)],
  scaleDownRules: [rule('cluster_utilization', 30, 1, 10 * MINUTE_MS)],
} satisfies Partial<Autoscaling>;

const IDLE = { queueDepth: 0, averageWaitTime: 0, utilization: 0 };
const BUSY = { queueDepth: 500, averageWaitTime: 600, utilization: 100 };

function inputOf(changes: Partial<PolicyInput> = {}): PolicyInput {
  return {
    nowMs: 100 * MINUTE_MS,
    settings: SETTINGS,
    load: IDLE,
    nodes: { active: 3, joining: 0 },
    voters: 1,
    lastUpAtMs: null,
    lastDownAtMs: null,
    ...changes,
  };
}

function heldOf(input: PolicyInput): Record<string, string | null> {
  return Object.fromEntries(decide(input).rules.map(({ metric, held }) => [metric, held]));
}

describe('the policy of scaling', () => {
  it("adds three nodes for the use case's numbers: both rules fire, and their counts add up", () => {
    expect(decide(inputOf({ load: BUSY }))).toMatchObject({
      action: 'add_nodes',
      count: 3,
      desired: 6,
      reason: 'queue_depth 500 above 100; average_wait_time 600 above 300',
    });
  });

  it("takes one node away for the use case's numbers, and the next after ten minutes", () => {
    const load = { queueDepth: 5, averageWaitTime: 2, utilization: 20 };
    const nodes = { active: 6, joining: 0 };
    expect(decide(inputOf({ load, nodes }))).toMatchObject({ action: 'remove_nodes', count: 1, desired: 5 });
    const lastDownAtMs = 95 * MINUTE_MS;
    expect(decide(inputOf({ load, nodes, lastDownAtMs }))).toMatchObject({ action: 'none', count: 0 });
    const later = inputOf({ load, nodes, lastDownAtMs, nowMs: 105 * MINUTE_MS });
    expect(decide(later)).toMatchObject({ action: 'remove_nodes', count: 1 });
  });

  it('asks once: what is on its way counts, and only the rest is asked for', () => {
    const onTheirWay = inputOf({ load: BUSY, nodes: { active: 3, joining: 3 } });
    expect(decide(onTheirWay)).toMatchObject({ action: 'none', desired: 6 });
    expect(heldOf(onTheirWay)).toMatchObject({ queue_depth: 'joining', average_wait_time: 'joining' });
    const oneIsLeft = inputOf({ load: BUSY, nodes: { active: 5, joining: 1 } });
    expect(decide(oneIsLeft)).toMatchObject({ action: 'add_nodes', count: 2 });
  });

  it.each([
    [18, 2],
    [19, 1],
    [20, 0],
  ])('with %i of at most 20 nodes adds %i', (active, count) => {
    const input = inputOf({ load: BUSY, nodes: { active, joining: 0 } });
    expect(decide(input).count).toBe(count);
    expect(heldOf(input)).toMatchObject({ queue_depth: count === 0 ? 'max_nodes' : null });
  });

  it('takes nodes away without a rule, and at once, where there are more than max_nodes', () => {
    const nodes = { active: 23, joining: 0 };
    const input = inputOf({ load: BUSY, nodes, lastDownAtMs: 100 * MINUTE_MS });
    expect(decide(input)).toMatchObject({
      action: 'remove_nodes',
      count: 3,
      desired: 20,
      reason: '23 nodes are more than the 20 that there are to be at most',
    });
    expect(heldOf(input)).toMatchObject({ queue_depth: 'max_nodes' });
    const settings = { ...SETTINGS, maxNodes: 3 };
    expect(decide(inputOf({ settings, voters: 5, nodes: { active: 5, joining: 0 } }))).toMatchObject({
      action: 'none',
    });
  });

  it('adds as many as max_nodes allows, far beyond those that can be members', () => {
    const settings = { ...SETTINGS, maxNodes: 500, minNodes: 200 };
    const at = (active: number) => inputOf({ settings, load: BUSY, nodes: { active, joining: 0 } });
    expect(decide(at(3))).toMatchObject({ action: 'add_nodes', count: 197, desired: 200 });
    expect(decide(at(499))).toMatchObject({ action: 'add_nodes', count: 1, desired: 500 });
    expect(heldOf(at(500))).toMatchObject({ queue_depth: 'max_nodes' });
  });

  it('lets what is on its way come first where it is that which is too much: it may never come', () => {
    const input = inputOf({ load: BUSY, nodes: { active: 20, joining: 2 } });
    expect(decide(input)).toMatchObject({ action: 'none', desired: 22 });
    expect(heldOf(input)).toMatchObject({ queue_depth: 'max_nodes' });
  });

  it('begins from nothing: below min_nodes it adds nodes without a rule', () => {
    const settings = { ...SETTINGS, minNodes: 3 };
    const input = inputOf({ settings, nodes: { active: 1, joining: 0 } });
    expect(decide(input)).toMatchObject({ action: 'add_nodes', count: 2, desired: 3 });
  });

  it.each([
    ['min_nodes', { settings: { ...SETTINGS, minNodes: 3 } }],
    ['voters', { voters: 3 }],
  ])('never takes a node away that %s keeps', (held, changes) => {
    expect(decide(inputOf(changes))).toMatchObject({ action: 'none', desired: 3 });
    expect(heldOf(inputOf(changes))).toMatchObject({ cluster_utilization: held });
  });

  it('a rule to add wins over one to remove', () => {
    const load = { queueDepth: 101, averageWaitTime: 0, utilization: 0 };
    expect(decide(inputOf({ load }))).toMatchObject({ action: 'add_nodes', count: 2 });
    expect(heldOf(inputOf({ load }))).toMatchObject({ cluster_utilization: 'scale_up' });
  });

  it('counts the cooldown of a rule to add from the last addition', () => {
    const settings = { ...SETTINGS, scaleUpRules: [rule('queue_depth', 100, 2, MINUTE_MS)] };
    const input = inputOf({ settings, load: BUSY, lastUpAtMs: 99.5 * MINUTE_MS });
    expect(heldOf(input)).toMatchObject({ queue_depth: 'cooldown' });
    expect(decide({ ...input, nowMs: 100.5 * MINUTE_MS })).toMatchObject({ action: 'add_nodes', count: 2 });
  });

  it.each([
    ['while nodes are on their way', 'joining', { nodes: { active: 3, joining: 1 } }],
    ['right after nodes were added', 'settling', { lastUpAtMs: 99.5 * MINUTE_MS }],
  ])('takes none away %s', (_when, held, changes) => {
    expect(decide(inputOf(changes))).toMatchObject({ action: 'none' });
    expect(heldOf(inputOf(changes))).toMatchObject({ cluster_utilization: held });
  });

  it('takes none away where the rest would be so full that a rule adds it again', () => {
    const settings = {
      ...SETTINGS,
      scaleUpRules: [rule('cluster_utilization', 40)],
      scaleDownRules: [rule('cluster_utilization', 30, 2)],
    };
    const at = (utilization: number) => inputOf({ settings, load: { ...IDLE, utilization } });
    expect(decide(at(20))).toMatchObject({ action: 'remove_nodes', count: 1 });
    expect(heldOf(at(27))).toMatchObject({ cluster_utilization: 'no_room' });
    // A steady load goes up and down a little.
    expect(heldOf(at(25))).toMatchObject({ cluster_utilization: 'no_room' });
    expect(decide(at(13))).toMatchObject({ action: 'remove_nodes', count: 1 });
    expect(decide(at(11))).toMatchObject({ action: 'remove_nodes', count: 2 });
  });

  it('takes as many away as the rest has room for, where that is fewer than a rule says', () => {
    const settings = { ...SETTINGS, scaleDownRules: [rule('cluster_utilization', 30, 3)] };
    const load = { ...IDLE, utilization: 29 };
    const nodes = { active: 4, joining: 0 };
    // Without three of four nodes the one that is left would have to be 116 % full; without two 58 %.
    expect(decide(inputOf({ settings, load, nodes }))).toMatchObject({
      action: 'remove_nodes',
      count: 2,
      desired: 2,
    });
  });

  it('stays within its bounds, whatever it is given', () => {
    const metrics = fc.constantFrom('queue_depth', 'average_wait_time', 'cluster_utilization');
    const rules = fc.array(
      fc.record({
        metric: metrics,
        threshold: fc.integer({ min: 0, max: 100 }),
        count: fc.integer({ min: 1, max: 50 }),
        cooldownMs: fc.integer({ min: 0, max: 100_000 }),
      }),
      { maxLength: 4 },
    );
    const past = fc.option(fc.integer({ min: 0, max: 1_000_000 }));
    const inputs = fc
      .record({
        minNodes: fc.integer({ min: 1, max: 30 }),
        more: fc.integer({ min: 0, max: 30 }),
        scaleUpRules: rules,
        scaleDownRules: rules,
        load: fc.record({
          queueDepth: fc.nat({ max: 200 }),
          averageWaitTime: fc.double({ min: 0, max: 200, noNaN: true }),
          utilization: fc.double({ min: 0, max: 100, noNaN: true }),
        }),
        nodes: fc.record({ active: fc.nat({ max: 80 }), joining: fc.nat({ max: 20 }) }),
        voters: fc.integer({ min: 1, max: 7 }),
        lastUpAtMs: past,
        lastDownAtMs: past,
      })
      .map(({ minNodes, more, scaleUpRules, scaleDownRules, ...rest }) => ({
        ...rest,
        nowMs: 1_000_000,
        settings: { minNodes, maxNodes: minNodes + more, intervalMs: 1000, scaleUpRules, scaleDownRules },
      }));
    fc.assert(
      fc.property(inputs, (input) => {
        const { action, count, desired } = decide(input);
        const size = input.nodes.active + input.nodes.joining;
        const { minNodes, maxNodes } = input.settings;
        const sign = { add_nodes: 1, remove_nodes: -1, none: 0 }[action];
        const least = { add_nodes: 0, remove_nodes: Math.max(minNodes, input.voters), none: 0 }[action];
        const most = { add_nodes: maxNodes, remove_nodes: size, none: size }[action];
        expect(count > 0).toBe(action !== 'none');
        expect(desired).toBe(size + sign * count);
        expect(desired).toBeGreaterThanOrEqual(Math.max(least, Math.min(minNodes, size)));
        expect(desired).toBeLessThanOrEqual(most);
        expect(size < minNodes && desired !== minNodes).toBe(false);
        const surplus = Math.max(0, input.nodes.active - Math.max(maxNodes, input.voters));
        expect(surplus > 0 && desired !== size - surplus).toBe(false);
      }),
      { numRuns: runs(1000) },
    );
  });
});
