/**
 * The planner against a plain reading of the contract: it places what fits and nothing else, in strict order, on a node
 * whose score none exceeds; and what it keeps at hand between plans makes no difference to what it plans.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Affinity, LabelRule, Near } from '../../../model/placement.ts';
import { PRIORITIES } from '../../../model/task.ts';
import type { Pairs, TaskRow, TaskSpec } from '../../../model/task.ts';
import { nodeHolding } from '../node-loads.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, specOf } from '../testing/values.ts';
import type { NodeUse } from './fit.ts';
import { misfit } from './fit.ts';
import { headsOf, keptForHead } from './heads.ts';
import type { PlannedAssignment } from './in-flight.ts';
import { inFlightOf } from './in-flight.ts';
import { plan, toAssignments } from './plan.ts';
import { Planner, type Load } from './planner.ts';
import {
  affinityScore,
  binpackScore,
  FARTHEST,
  idlenessOf,
  localityScore,
  PENALTY,
  spreadScore,
} from './scores.ts';
import { whyWaiting } from './waiting.ts';
import { runs } from '../../../lib/testing/property-runs.ts';

const LIMIT = 20;

const labels: fc.Arbitrary<Pairs> = fc
  .record({
    rack: fc.constantFrom('', 'r1', 'r2'),
    region: fc.constantFrom('', 'eu'),
    ssd: fc.constantFrom('', 'yes'),
    zone: fc.constantFrom('', 'a', 'b'),
  })
  .map((record) => Object.entries(record).filter(([, value]) => value !== ''));

const node = fc.record({
  labels,
  cpuMillis: fc.constantFrom(1000, 4000, 4000, 8000),
  memoryBytes: fc.constantFrom(1024 * MIB, 4096 * MIB),
});

const rule: fc.Arbitrary<LabelRule> = fc.constantFrom<LabelRule>(
  { key: 'zone', operator: 'in', values: ['a', 'b'] },
  { key: 'zone', operator: 'not_in', values: ['a'] },
  { key: 'ssd', operator: 'exists', values: [] },
  { key: 'rack', operator: 'not_exists', values: [] },
);

const affinity: fc.Arbitrary<Affinity> = fc.record({
  required: fc.array(rule, { maxLength: 1 }),
  preferred: fc.array(
    fc.tuple(rule, fc.constantFrom(-30, 20, 100)).map(([one, weight]) => ({ ...one, weight })),
    {
      maxLength: 2,
    },
  ),
  anti: fc.constantFrom<Affinity['anti']>([], [], [{ batch: null, labels: [['team', 'x']] }]),
});

const near: fc.Arbitrary<Near> = fc.constantFrom<Near>(
  { place: { key: 'zone', value: 'a' }, task: null },
  { place: { key: 'rack', value: 'r2' }, task: null },
  { place: { key: 'node', value: 'n1' }, task: null },
  { place: null, task: 'first' },
);

const spec: fc.Arbitrary<TaskSpec> = fc
  .record({
    cpu: fc.constantFrom(100, 500, 3000),
    memory: fc.constantFrom(1, 64, 900),
    priority: fc.constantFrom(...PRIORITIES),
    name: fc.constantFrom('first', 'other'),
    labels: fc.constantFrom<Pairs>([], [], [['team', 'x']]),
    affinity: fc.option(affinity, { nil: null, freq: 2 }),
    near: fc.option(fc.array(near, { minLength: 1, maxLength: 2 }), { nil: null, freq: 3 }),
    key: fc.constantFrom(null, null, 'db'),
  })
  .map(({ cpu, memory, near: places, key, ...rest }) =>
    specOf({
      ...rest,
      resources: { cpuMillis: cpu, memoryBytes: memory * MIB },
      locality: places === null ? null : { near: places },
      concurrency: key === null ? null : { key, max: 3 },
    }),
  );

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('submit' as const),
      specs: fc.array(spec, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('plan' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('reserve' as const), passMs: fc.constantFrom(1000, 40_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constantFrom('complete' as const, 'fail' as const), pick: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('node' as const), name: fc.nat({ max: 7 }), node }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constantFrom('offline' as const, 'unhealthy' as const), pick: fc.nat() }),
  },
);

interface World {
  readonly cluster: TestCluster;
  readonly planner: Planner;
  readonly run: (...input: Parameters<TestCluster['run']>) => ReturnType<TestCluster['run']>;
}

function worldOf(policy: 'spread' | 'binpack'): World {
  const cluster = new TestCluster();
  const config = {
    heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 },
    scheduling: { policy },
  };
  cluster.done({ type: 'initCluster', term: 1, clusterId: 'test-cluster', epoch: 3, config });
  const planner = new Planner(cluster.state, inFlightOf(new Map()));
  const run: World['run'] = (input) => {
    const result = cluster.run(input);
    planner.changed(result.changes);
    return result;
  };
  return { cluster, planner, run };
}

/** Some of the nodes are busy with something else. */
function busyShareOf(name: string): number | null {
  return { n2: 0.95, n3: 0.4, n5: 0.7 }[name] ?? null;
}

function loadOf(name: string): Load | null {
  const busy = busyShareOf(name);
  return busy === null ? null : { busy, scope: name === 'n5' ? '7' : '' };
}

function act(world: World, one: (typeof step extends fc.Arbitrary<infer T> ? T : never) & object): void {
  const { cluster, run } = world;
  const held = [...cluster.state.tasks.values()].filter((task) => nodeHolding(task) !== null);
  switch (one.type) {
    case 'submit':
      run({ type: 'submitTasks', tasks: one.specs, idempotency: null });
      return;
    case 'node': {
      const name = `n${one.name}`;
      const { cpuMillis, memoryBytes } = one.node;
      const known = cluster.state.nodes.get(name);
      const capacity = known === undefined ? { cpuMillis, memoryBytes } : known.capacity;
      const session = cluster.register(name, { labels: one.node.labels, capacity });
      world.planner.touch([name]);
      run({ type: 'reconcileNode', node: name, session, known: [] });
      return;
    }
    case 'complete':
    case 'fail': {
      const task = held[one.pick % Math.max(1, held.length)];
      if (task === undefined) return;
      world.planner.touch([nodeHolding(task) ?? '']);
      cluster.report(task.id, 'RUNNING');
      cluster.report(task.id, one.type === 'fail' ? 'FAILED' : 'COMPLETED');
      cluster.atMs += 5000;
      run({
        type: 'retryDue',
        term: 1,
        taskIds: [...cluster.state.retriesDue(cluster.atMs)].map(({ id }) => id),
      });
      return;
    }
    case 'offline':
    case 'unhealthy': {
      const nodes = [...cluster.state.nodes.values()];
      const row = nodes[one.pick % Math.max(1, nodes.length)];
      if (row === undefined) return;
      const at = { term: 1, node: row.name, session: row.session };
      run(
        one.type === 'offline'
          ? { type: 'nodeOffline', ...at }
          : { type: 'nodeHealth', healthy: one.pick % 2 === 0, ...at },
      );
      return;
    }
    case 'plan':
      checkPlan(world);
      return;
    case 'reserve':
      cluster.atMs += one.passMs;
      reserve(world);
      return;
    default:
      throw new Error('every kind is handled');
  }
}

function reserve({ cluster, planner, run }: World): void {
  const wanted = planner.reservation(cluster.atMs);
  expect(new Planner(cluster.state, inFlightOf(new Map())).reservation(cluster.atMs)).toEqual(wanted);
  if (wanted !== null) run({ type: 'reserveNodes', term: 1, ...wanted });
}

/** What is on a node by the state and by the assignments that come before in the same plan. */
function useOf(cluster: TestCluster, name: string, before: readonly TaskRow[]): NodeUse {
  const state = cluster.state;
  const { cpuMillis, memoryBytes } = state.allocated(name);
  const there = [...state.tasksOn(name)].map((id) => cluster.task(id)).concat(before);
  return {
    allocated: {
      cpuMillis: before.reduce((sum, { resources }) => sum + resources.cpuMillis, cpuMillis),
      memoryBytes: before.reduce((sum, { resources }) => sum + resources.memoryBytes, memoryBytes),
    },
    taskCount: there.length,
    meeting: (rules) =>
      rules.find(({ labels: wanted }) =>
        there.some((task) =>
          wanted?.every(([k, v]) => task.labels?.some(([key, value]) => key === k && value === v)),
        ),
      ) ?? null,
  };
}

function distanceOf(cluster: TestCluster, from: string, one: Near): number | null {
  const { nodes } = cluster.state;
  const label = (name: string, key: string) => nodes.get(name)?.labels.find(([k]) => k === key)?.[1] ?? null;
  const place = one.place;
  const names = [...nodes.keys()].sort();
  const to =
    place === null
      ? cluster.state.placeOf(one.task)
      : place.key === 'node'
        ? place.value
        : (names.find((name) => label(name, place.key) === place.value) ?? null);
  if (to === null || !nodes.has(to)) return null;
  const floor = place === null || place.key === 'node' ? 0 : { rack: 1, zone: 2, region: 3 }[place.key];
  const levels = ['rack', 'zone', 'region'];
  const same = levels.findIndex((_, at) =>
    levels
      .slice(at)
      .every((key, n) => label(from, key) === label(to, key) && (n > 0 || label(to, key) !== null)),
  );
  return Math.max(floor, from === to ? 0 : same < 0 ? FARTHEST : same + 1);
}

function scoreOf(cluster: TestCluster, task: TaskRow, name: string, use: NodeUse): number {
  const row = cluster.state.nodes.get(name);
  if (row === undefined) throw new Error('it is there');
  const left = {
    cpu: 1 - (use.allocated.cpuMillis + task.resources.cpuMillis) / row.capacity.cpuMillis,
    memory: 1 - (use.allocated.memoryBytes + task.resources.memoryBytes) / row.capacity.memoryBytes,
  };
  const packs = cluster.state.cluster?.config.scheduling?.policy === 'binpack';
  const set = cluster.state.allocated(name).cpuMillis / row.capacity.cpuMillis;
  const scores = [
    (packs ? binpackScore : spreadScore)(left.cpu, left.memory),
    idlenessOf(busyShareOf(name) ?? 0, set),
  ];
  const preferred = task.affinity?.preferred ?? [];
  if (preferred.length > 0) scores.push(affinityScore(preferred, row.labels));
  const distances = (task.locality?.near ?? []).flatMap((one) => distanceOf(cluster, name, one) ?? []);
  if (distances.length > 0) scores.push(localityScore(Math.min(...distances)));
  const last = task.attempts.at(-1);
  if (last?.status === 'FAILED' && last.node === name) scores.push(PENALTY);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** @returns how many were planned */
function checkPlan({ cluster, planner, run }: World): number {
  const { state } = cluster;
  planner.measure(loadOf);
  const made = planner.plan(LIMIT);
  const { assignments, overtakes } = made;
  const anew = plan(state, new Map(), LIMIT, loadOf);
  expect(made).toEqual(anew);
  const heads = headsOf(state.cluster);
  const planned = new Map(assignments.map((one) => [one.taskId, one]));
  const on = new Map<string, TaskRow[]>();
  let left = LIMIT;
  for (const task of state.pending()) {
    if (left === 0) break;
    const uses = [...state.nodes.values()].map((row) => ({
      row,
      use: useOf(cluster, row.name, on.get(row.name) ?? []),
    }));
    const holding = [...on.values()].flat().filter((one) => (one.concurrency ?? null) !== null).length;
    const waits = whyWaiting(task, state, { holding: () => holding, holdingOf: () => 0 });
    const fitting = uses.filter(
      ({ row, use }) =>
        waits === null &&
        misfit(task, row, use) === null &&
        keptForHead(task, row.name, { heads, tasks: state.tasks }) === null,
    );
    const chosen: PlannedAssignment | undefined = planned.get(task.id);
    expect(chosen !== undefined).toBe(fitting.length > 0);
    if (chosen === undefined) continue;
    const scores = new Map(fitting.map(({ row, use }) => [row.name, scoreOf(cluster, task, row.name, use)]));
    expect(scores.get(chosen.node)).toBeGreaterThanOrEqual(Math.max(...scores.values()) - 1e-9);
    on.set(chosen.node, [...(on.get(chosen.node) ?? []), task]);
    left -= 1;
  }
  const input = {
    type: 'assign',
    term: 1,
    planIndex: cluster.index,
    assignments: toAssignments(assignments),
    overtakes,
  } as const;
  expect(run(input).outcome).toMatchObject({ type: 'done', result: { refused: [] } });
  return assignments.length;
}

describe('the planner', () => {
  it.each(['spread', 'binpack'] as const)(
    'places what fits, in order, where it scores best: %s',
    (policy) => {
      fc.assert(
        fc.property(
          fc.array(node, { minLength: 1, maxLength: 6 }),
          fc.array(step, { maxLength: 60, size: 'max' }),
          (nodes, steps) => {
            const world = worldOf(policy);
            for (const [at, one] of nodes.entries()) act(world, { type: 'node', name: at, node: one });
            for (const one of steps) act(world, one);
            expect(checkPlan(world)).toBeLessThanOrEqual(LIMIT);
          },
        ),
        { numRuns: runs(150) },
      );
    },
  );
});
