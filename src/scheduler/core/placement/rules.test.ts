/** Affinity, locality, load, packing and the penalty, one by one. */
import { describe, expect, it } from 'vitest';

import type { Affinity, LabelRule } from '../../../model/placement.ts';
import type { Pairs, TaskSpec } from '../../../model/task.ts';
import { batchInput, dagInput } from '../testing/groups.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, NODE_CAPACITY, specOf } from '../testing/values.ts';
import { candidatesOf, explain } from './explain.ts';
import { plan, toAssignments } from './plan.ts';
import type { MeasuredLoad } from './planner.ts';
import { idlenessOf } from './scores.ts';

const SMALL = { cpuMillis: 100, memoryBytes: MIB };

function clusterOf(nodes: Readonly<Record<string, Readonly<Record<string, string>>>>): TestCluster {
  const cluster = TestCluster.formed();
  for (const [name, labels] of Object.entries(nodes)) cluster.join(name, { labels: Object.entries(labels) });
  return cluster;
}

function ruled(affinity: Partial<Affinity>, changes: Partial<TaskSpec> = {}): TaskSpec {
  return specOf({
    resources: SMALL,
    affinity: { required: [], preferred: [], anti: [], ...affinity },
    ...changes,
  });
}

function near(...places: readonly string[]): TaskSpec {
  const list = places.map((text) => {
    const [key, value = ''] = text.split('=');
    if (key === 'task') return { place: null, task: value };
    return { place: { key: key as 'zone', value }, task: null };
  });
  return specOf({ resources: SMALL, locality: { near: list } });
}

function nodesOf(cluster: TestCluster, loadOf: MeasuredLoad | null = null): (string | undefined)[] {
  const planned = new Map(
    plan(cluster.state, new Map(), 256, loadOf).assignments.map((one) => [one.taskId, one.node]),
  );
  return [...cluster.state.pending()].map(({ id }) => planned.get(id));
}

function reasonsFor(cluster: TestCluster, taskId: string) {
  return explain(cluster.task(taskId), candidatesOf(cluster.state));
}

const inZone = (...values: string[]): LabelRule => ({ key: 'zone', operator: 'in', values });

describe('required affinity', () => {
  const nodes = { n1: { zone: 'a' }, n2: { zone: 'b', ssd: '' }, n3: {} };

  it.each<[LabelRule, string]>([
    [inZone('a'), 'n1'],
    [{ key: 'zone', operator: 'not_in', values: ['a', 'b'] }, 'n3'],
    [{ key: 'ssd', operator: 'exists', values: [] }, 'n2'],
    [{ key: 'zone', operator: 'not_exists', values: [] }, 'n3'],
  ])('places only where %j holds', (rule, only) => {
    const cluster = clusterOf(nodes);
    cluster.submit(...Array.from({ length: 5 }, () => ruled({ required: [rule] })));
    expect(new Set(nodesOf(cluster))).toEqual(new Set([only]));
  });

  it('says what is missing, of the node that comes nearest, and that no node has it', () => {
    const cluster = clusterOf(nodes);
    const id = cluster.submitOne(
      ruled({ required: [inZone('c'), { key: 'ssd', operator: 'exists', values: [] }] }),
    );
    expect(reasonsFor(cluster, id)).toEqual([
      { filter: 'affinity', excluded: 3, nearestMiss: 'node n2 has zone=b, required is zone in (c)' },
    ]);
    expect(cluster.task(id).statusReason).toBe(
      'no node has the labels; the nearest: node n2 has zone=b, required is zone in (c)',
    );
    cluster.join('n4', {
      labels: [
        ['ssd', ''],
        ['zone', 'c'],
      ],
    });
    expect(nodesOf(cluster)).toEqual(['n4']);
  });

  it('is checked again where it is applied', () => {
    const cluster = clusterOf({ n1: { zone: 'a' } });
    const id = cluster.submitOne(ruled({ required: [inZone('a')] }));
    const session = cluster.register('n1', { labels: [['zone', 'b']] });
    const assignments = [{ taskId: id, node: 'n1', session }];
    expect(cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments }).refused).toEqual([
      { taskId: id, reason: 'node n1 has zone=b, required is zone in (a)' },
    ]);
  });

  it('names every reason of a node, not the first only', () => {
    const cluster = clusterOf({ n1: { zone: 'a' } });
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    cluster.done({ type: 'nodeHealth', term: 1, node: 'n1', session, healthy: false });
    const id = cluster.submitOne(
      ruled({ required: [inZone('b')] }, { resources: { cpuMillis: 4300, memoryBytes: 1 } }),
    );
    expect(reasonsFor(cluster, id)).toEqual([
      { filter: 'health', excluded: 1, nearestMiss: 'node n1 is UNHEALTHY' },
      { filter: 'affinity', excluded: 1, nearestMiss: 'node n1 has zone=a, required is zone in (b)' },
      { filter: 'resources', excluded: 1, nearestMiss: 'node n1 lacks 300m cpu' },
    ]);
  });
});

describe('a node that runs short of something', () => {
  it('gets no new work until it does no longer, which is an event', () => {
    const cluster = clusterOf({ n1: {} });
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const say = (...pressure: ('disk' | 'memory')[]) =>
      cluster.done({ type: 'nodePressure', term: 1, node: 'n1', session, pressure });
    say('disk', 'memory');
    const id = cluster.submitOne(ruled({}));
    expect(nodesOf(cluster)).toEqual([undefined]);
    const reason = 'node n1 is short of disk and memory';
    expect(reasonsFor(cluster, id)).toEqual([{ filter: 'pressure', excluded: 1, nearestMiss: reason }]);
    const assignments = [{ taskId: id, node: 'n1', session }];
    expect(cluster.done({ type: 'assign', term: 1, planIndex: 0, assignments }).refused).toEqual([
      { taskId: id, reason },
    ]);
    say();
    expect(nodesOf(cluster)).toEqual(['n1']);
    const row = cluster.state.nodes.get('n1');
    expect(row).not.toHaveProperty('pressure');
  });
});

describe('anti-affinity', () => {
  const TEAM: Pairs = [['team', 'x']];
  const apart = ruled({ anti: [{ batch: null, labels: TEAM }] }, { labels: TEAM });

  it('keeps apart from the others of its batch or DAG, and of no other', () => {
    const cluster = clusterOf({ n1: {}, n2: {} });
    const spec = ruled({ anti: [{ batch: 'self', labels: null }] });
    for (let run = 0; run < 2; run += 1) cluster.done(dagInput([[], [], []], {}, spec));
    cluster.done(batchInput({ type: 'template', template: spec, count: 3 }));
    const ofOne = ['n1', 'n2', undefined];
    expect(nodesOf(cluster)).toEqual([...ofOne, ...ofOne, ...ofOne]);
    // Applied, and looked at again by the same rule.
    const { assignments } = plan(cluster.state, new Map(), 256);
    const { refused } = cluster.done({
      type: 'assign',
      term: 1,
      planIndex: cluster.index,
      assignments: toAssignments(assignments),
    });
    expect(refused).toEqual([]);
    expect(nodesOf(cluster)).toEqual([undefined, undefined, undefined]);
  });

  it('keeps apart from tasks with the labels, on nodes, in flight and in the same plan', () => {
    const cluster = clusterOf({ n1: {}, n2: {}, n3: {} });
    const other = cluster.submitOne(specOf({ resources: SMALL, labels: [['app', 'y'], ...TEAM] }));
    cluster.assign(other, 'n1');
    const ids = cluster.submit(apart, apart, apart);
    expect(nodesOf(cluster)).toEqual(['n2', 'n3', undefined]);
    cluster.assign(ids[0] ?? '', 'n2');
    cluster.assign(ids[1] ?? '', 'n3');
    expect(reasonsFor(cluster, ids[2] ?? '')).toEqual([
      {
        filter: 'anti_affinity',
        excluded: 3,
        nearestMiss: 'node n1 has tasks with team=x, which it keeps apart from',
      },
    ]);
    cluster.report(other, 'COMPLETED');
    expect(nodesOf(cluster)).toEqual(['n1']);
  });

  it('is checked again where it is applied, also within one command', () => {
    const cluster = clusterOf({ n1: {} });
    const [first = '', second = ''] = cluster.submit(apart, apart);
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assignments = [first, second].map((taskId) => ({ taskId, node: 'n1', session }));
    const input = { type: 'assign', term: 1, planIndex: 0, assignments } as const;
    expect(cluster.done(input)).toMatchObject({ accepted: [first], refused: [{ taskId: second }] });
    expect(cluster.done(input).refused).toMatchObject([{ taskId: first }, { taskId: second }]);
  });
});

describe('preferred affinity', () => {
  it('draws, and repels, by weight', () => {
    const cluster = clusterOf({ n1: { old: '' }, n2: { ssd: '' }, n3: {} });
    const ssd = { key: 'ssd', operator: 'exists', values: [] } as const;
    const old = { key: 'old', operator: 'exists', values: [] } as const;
    cluster.submit(
      ruled({ preferred: [{ ...ssd, weight: 50 }] }),
      ruled({
        preferred: [
          { ...old, weight: 20 },
          { ...ssd, weight: 10 },
        ],
      }),
      ruled({
        preferred: [
          { ...old, weight: -50 },
          { ...ssd, weight: -60 },
        ],
      }),
    );
    expect(nodesOf(cluster)).toEqual(['n2', 'n1', 'n3']);
  });

  it('finds the few that it prefers among many', () => {
    const cluster = clusterOf({});
    for (let n = 0; n < 1000; n += 1) cluster.join(`n${n}`, { labels: n === 777 ? [['gpu', '']] : [] });
    const gpu = { key: 'gpu', operator: 'exists', values: [], weight: 100 } as const;
    cluster.submit(...Array.from({ length: 3 }, () => ruled({ preferred: [gpu] })));
    expect(nodesOf(cluster)).toEqual(['n777', 'n777', 'n777']);
  });
});

describe('a task with rules', () => {
  it.each([3, 300, 597])('finds the only nodes with room among many that are full: from n%i on', (free) => {
    const cluster = clusterOf({});
    const session = new Map<string, number>();
    for (let n = 0; n < 600; n += 1) session.set(`n${n}`, cluster.join(`n${n}`));
    const ids = cluster.submit(
      ...Array.from({ length: 598 }, () => specOf({ resources: { ...SMALL, cpuMillis: 4000 } })),
    );
    const full = [...session.keys()].filter((_, n) => n !== free && n !== free + 1);
    const assignments = ids.map((taskId, at) => {
      const node = full[at] ?? '';
      return { taskId, node, session: session.get(node) ?? 0 };
    });
    cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
    const nowhere = { key: 'gpu', operator: 'exists', values: [], weight: 10 } as const;
    cluster.submit(...Array.from({ length: 4 }, () => ruled({ preferred: [nowhere] })));
    expect(nodesOf(cluster)).toEqual([0, 1, 0, 1].map((step) => `n${free + step}`));
  });
});

describe('locality', () => {
  const nodes = {
    n1: { region: 'eu', zone: 'a', rack: '1' },
    n2: { region: 'eu', zone: 'a', rack: '2' },
    n3: { region: 'eu', zone: 'b', rack: '1' },
    n4: { region: 'us', zone: 'a', rack: '1' },
  };

  it('prefers the place, then what is near to it', () => {
    const cluster = clusterOf(nodes);
    cluster.submit(near('zone=b'), near('region=us'), near('node=n2'), near('zone=none', 'rack=2'));
    expect(nodesOf(cluster)).toEqual(['n3', 'n4', 'n2', 'n2']);
  });

  it('goes where the newest task of the name runs or ran, or near to it', () => {
    const cluster = clusterOf(nodes);
    const extract = (node: string): void => {
      const id = cluster.submitOne(specOf({ name: 'extract', resources: SMALL }));
      cluster.assign(id, node);
      cluster.report(id, 'RUNNING');
      cluster.report(id, 'COMPLETED');
    };
    extract('n3');
    extract('n2');
    cluster.submit(near('task=extract'), near('task=nobody'));
    expect(nodesOf(cluster)[0]).toBe('n2');
    cluster.state = cluster.restored((rows) => rows.toReversed());
    expect(nodesOf(cluster)[0]).toBe('n2');
    cluster.offline('n2');
    expect(nodesOf(cluster)[0]).toBe('n1');
  });

  it('finds the one rack among many', () => {
    const cluster = clusterOf({});
    for (let n = 0; n < 1000; n += 1) cluster.join(`n${n}`, { labels: [['rack', `r${n % 250}`]] });
    cluster.submit(...Array.from({ length: 8 }, () => near('rack=r77')));
    expect(nodesOf(cluster).map((name) => Number(name?.slice(1)) % 250)).toEqual(Array(8).fill(77));
  });
});

describe('load', () => {
  it('keeps off nodes that something else keeps busy, but not where nothing else fits', () => {
    const cluster = clusterOf({ n1: {}, n2: {}, n3: {} });
    cluster.submit(...Array.from({ length: 6 }, () => specOf({ resources: SMALL })));
    const loads: Record<string, number> = { n1: 1, n2: 0.05, n3: 0.2 };
    const loadOf = (node: string) => ({ busy: loads[node] ?? 0, scope: '' });
    expect(nodesOf(cluster, loadOf)).toEqual(['n2', 'n3', 'n2', 'n3', 'n2', 'n3']);
    cluster.submit(...Array.from({ length: 3 }, () => specOf({ resources: { ...SMALL, cpuMillis: 3000 } })));
    expect(new Set(nodesOf(cluster, loadOf).slice(6))).toEqual(new Set(['n2', 'n3', 'n1']));
  });

  it('is one for the nodes of a machine, unless control groups of their own confine them', () => {
    const cluster = clusterOf({});
    for (const name of ['n1', 'n2', 'n3']) cluster.join(name, { bootId: 'the same' });
    cluster.submit(...Array.from({ length: 4 }, () => specOf({ resources: SMALL })));
    const busy = { n1: 1, n2: 0, n3: 0 };
    const measured =
      (scopes: Record<string, string>): MeasuredLoad =>
      (name) => ({ busy: busy[name as keyof typeof busy], scope: scopes[name] ?? '' });
    expect(nodesOf(cluster, measured({}))).toEqual(['n1', 'n2', 'n3', 'n1']);
    expect(nodesOf(cluster, measured({ n1: '7', n2: '8', n3: '9' }))).toEqual(['n2', 'n3', 'n2', 'n3']);
    // Two in one group, of which one says that all of it is used, and the other, at another moment, nothing.
    expect(nodesOf(cluster, measured({ n1: '7', n2: '7', n3: '9' }))).toEqual(['n3', 'n3', 'n3', 'n3']);
  });

  it('is what is measured beyond what is set aside, in steps, and none below half', () => {
    expect(idlenessOf(0.49, 0)).toBe(1);
    expect(idlenessOf(0.9, 0.5)).toBe(1);
    expect(idlenessOf(0.62, 0)).toBeCloseTo(0.4);
    expect(idlenessOf(1.2, 0)).toBe(0);
  });
});

describe('binpack', () => {
  it('fills a node before the next', () => {
    const cluster = new TestCluster();
    const heartbeat = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };
    const config = { heartbeat, scheduling: { policy: 'binpack' } } as const;
    cluster.done({ type: 'initCluster', term: 1, clusterId: 'test-cluster', epoch: 3, config });
    for (const name of ['n1', 'n2', 'n3']) cluster.join(name);
    const half = { cpuMillis: NODE_CAPACITY.cpuMillis / 2, memoryBytes: NODE_CAPACITY.memoryBytes / 2 };
    cluster.submit(...Array.from({ length: 5 }, () => specOf({ resources: half })));
    expect(nodesOf(cluster)).toEqual(['n1', 'n1', 'n2', 'n2', 'n3']);
  });
});

describe('the node that has just failed a task', () => {
  it('is avoided for the next try, unless it is the only one', () => {
    const cluster = clusterOf({ n1: {}, n2: {} });
    const busy = cluster.submitOne(specOf({ resources: { ...SMALL, cpuMillis: 2000 } }));
    cluster.assign(busy, 'n2');
    const id = cluster.submitOne(specOf({ resources: SMALL }));
    expect(nodesOf(cluster)).toEqual(['n1']);
    cluster.assign(id, 'n1');
    cluster.report(id, 'FAILED');
    cluster.atMs += 2000;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [id] });
    expect(nodesOf(cluster)).toEqual(['n2']);
    cluster.offline('n2');
    expect(nodesOf(cluster)).toContain('n1');
  });
});
