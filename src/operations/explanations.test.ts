import { beforeEach, describe, expect, it } from 'vitest';

import type { Task } from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import type { NodeRow } from '../model/node.ts';
import { batchToWire, dagToWire } from '../spec/group-wire.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';
import type { RoutingOperations } from './router.ts';

let cluster: TestCluster;
let n2: RoutingOperations;
const context = testContext();

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2']) {
    cluster.register(name, `${name}:7101`);
    nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  n2 = nodes.get('n2:7101') as RoutingOperations;
});

const NOTHING = { tasks: [], batches: [], dags: [] };

function wire(plain: object) {
  return wireFromPlain({ command: ['true'], ...plain });
}

function batchesOf(count: number) {
  return [batchToWire({ template: { command: ['true'] }, count }, '')];
}

async function submit(plain: object = {}): Promise<Task> {
  const { tasks } = await n2.submitTasks({ tasks: [wire(plain)], idempotency_key: '' }, context);
  return tasks[0] as Task;
}

describe('explaining', () => {
  it('says the place in the queue and what stands against every node', async () => {
    await submit({ priority: 'high' });
    await submit();
    const { id } = await submit({ resources: { cpu: 5 } });
    await submit({ priority: 'low' });
    expect(await n2.explainTask({ id: id.slice(0, 12) }, context)).toEqual({
      id,
      status: 'PENDING',
      position: 3,
      reasons: [{ filter: 'resources', excluded: 2, nearest_miss: 'node n1 lacks 1000m cpu' }],
    });
  });

  it('says what a task waits for that is no node, as its status does', async () => {
    const first = await submit({ concurrency: { key: 'db', max: 1 } });
    const { id } = await submit({ concurrency: { key: 'db', max: 1 }, resources: { cpu: 5 } });
    expect((await n2.getTask({ id }, context)).status_reason).toContain('no node is large enough');
    cluster.assign(first.id, 'n1');
    const waits = 'waits for concurrency key db (1 of 1)';
    expect((await n2.explainTask({ id }, context)).reasons).toEqual([
      { filter: 'concurrency', excluded: 2, nearest_miss: waits },
      { filter: 'resources', excluded: 2, nearest_miss: 'node n2 lacks 1000m cpu' },
    ]);
    expect((await n2.getTask({ id }, context)).status_reason).toBe(waits);
    const { id: later, status_reason: reason } = await submit({ not_before: '2036-01-01T00:00:00Z' });
    expect(reason).toBe('not before 2036-01-01T00:00:00.000Z');
    expect(await n2.explainTask({ id: later }, context)).toEqual({
      id: later,
      status: 'PENDING',
      position: undefined,
      reasons: [{ filter: 'not_before', excluded: 2, nearest_miss: reason }],
    });
  });

  it('says in the status whether a node could hold it at all, of the nodes of now', async () => {
    const { id, status_reason: reason } = await submit({ resources: { cpu: 40 } });
    const read = async () => (await n2.getTask({ id }, context)).status_reason;
    expect(reason).toContain('no node is large enough');
    cluster.register('n3', 'n3:7101', { capacity: { cpuMillis: 64_000, memoryBytes: 2 ** 40 } });
    expect(await read()).toBeUndefined();
    const { session } = cluster.state.nodes.get('n3') as NodeRow;
    const principal = 'an operator';
    const removal = { type: 'removeNode', node: 'n3', session, dead: true, principal } as const;
    cluster.execute({ ...removal, term: cluster.term, idempotency: null });
    expect(await read()).toContain('no node is large enough');
  });

  it('has nothing to say of what does not wait', async () => {
    const { id } = await submit();
    cluster.assign(id, 'n1');
    expect(await n2.explainTask({ id }, context)).toEqual({
      id,
      status: 'ASSIGNED',
      position: undefined,
      reasons: [],
    });
    await expect(n2.explainTask({ id: 'task-zzz' }, context)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('where no node is registered', () => {
  it('is said, of what waits and of what is planned', async () => {
    const none = new TestCluster(['n1']);
    const n1 = testOperations(none, 'n1', { remotes: inProcessRemotes(new Map()) });
    const reasons = [{ filter: 'health', excluded: 0, nearest_miss: 'no node is registered yet' }];
    const { tasks } = await n1.submitTasks({ tasks: [wire({})], idempotency_key: '' }, context);
    expect(await n1.explainTask({ id: tasks[0]?.id ?? '' }, context)).toMatchObject({ reasons });
    const planned = await n1.planTasks({ ...NOTHING, tasks: [wire({ name: 'a' })] }, context);
    expect(planned.items).toEqual([{ name: 'a', count: 1, node: undefined, reasons }]);
  });
});

describe('planning', () => {
  it('says where tasks would run, equal ones together, and changes nothing', async () => {
    const before = cluster.index;
    const tasks = [
      ...Array.from({ length: 5 }, () => wire({ name: 'a', resources: { cpu: 1 } })),
      wire({ name: 'big', resources: { cpu: 4 } }),
      wire({ name: 'later', not_before: '2036-01-01T00:00:00Z' }),
      wire({ name: 'zone', affinity: { required: [{ key: 'zone', operator: 'in', values: ['b'] }] } }),
    ];
    expect(await n2.planTasks({ ...NOTHING, tasks }, context)).toEqual({
      index: before,
      items: [
        { name: 'a', count: 3, node: 'n1', reasons: [] },
        { name: 'a', count: 2, node: 'n2', reasons: [] },
        {
          name: 'big',
          count: 1,
          node: undefined,
          reasons: [{ filter: 'resources', excluded: 2, nearest_miss: 'node n2 lacks 2100m cpu' }],
        },
        {
          name: 'later',
          count: 1,
          node: 'n2',
          reasons: [
            { filter: 'not_before', excluded: 0, nearest_miss: 'not before 2036-01-01T00:00:00.000Z' },
          ],
        },
        {
          name: 'zone',
          count: 1,
          node: undefined,
          reasons: [
            { filter: 'affinity', excluded: 2, nearest_miss: 'node n1 has zone=a, required is zone in (b)' },
          ],
        },
      ],
    });
    expect(cluster.index).toBe(before);
  });

  it('counts what holds a concurrency key, and what would', async () => {
    const { id } = await submit({ concurrency: { key: 'db', max: 2 } });
    cluster.assign(id, 'n1');
    const tasks = [1, 2].map(() => wire({ name: 'k', concurrency: { key: 'db', max: 2 } }));
    const { items } = await n2.planTasks({ ...NOTHING, tasks }, context);
    expect(items).toEqual([
      { name: 'k', count: 1, node: 'n2', reasons: [] },
      {
        name: 'k',
        count: 1,
        node: undefined,
        reasons: [
          { filter: 'concurrency', excluded: 2, nearest_miss: 'waits for concurrency key db (2 of 2)' },
        ],
      },
    ]);
  });

  it('plans a batch as a whole: no more than its max_parallel, apart where its tasks keep apart', async () => {
    const template = { name: 'b', command: ['true'], affinity: { anti: [{ batch: 'self' }] } };
    const apart = batchToWire({ template, count: 3 }, '');
    const bounded = batchToWire(
      { max_parallel: 2, template: { name: 'c', command: ['true'] }, count: 5 },
      '',
    );
    const { items } = await n2.planTasks({ ...NOTHING, batches: [apart, bounded] }, context);
    expect(items.map(({ name, count, node }) => [name, count, node])).toEqual([
      ['b', 1, 'n1'],
      ['b', 1, 'n2'],
      ['b', 1, undefined],
      ['c', 1, 'n1'],
      ['c', 1, 'n2'],
      ['c', 3, undefined],
    ]);
    expect(items[2]?.reasons).toMatchObject([{ filter: 'anti_affinity', excluded: 2 }]);
    expect(items[5]?.reasons).toMatchObject([{ filter: 'max_parallel', excluded: 2 }]);
  });

  it('plans a task of a DAG that waits for others by itself', async () => {
    const all = { command: ['true'], resources: { cpu: 3 } };
    const dag = dagToWire(
      {
        name: 'etl',
        tasks: [
          { id: 'a', ...all },
          { id: 'b', ...all, dependencies: ['a'] },
          { id: 'c', ...all, dependencies: ['a'] },
          { id: 'd', ...all, resources: { cpu: 5 }, dependencies: ['b', 'c'] },
        ],
      },
      '',
    );
    const before = cluster.index;
    const { items } = await n2.planTasks({ ...NOTHING, tasks: [wire({ name: 't' })], dags: [dag] }, context);
    expect(items.map(({ name, node, reasons }) => [name, node, reasons.map(({ filter }) => filter)])).toEqual(
      [
        ['t', 'n1', []],
        ['a', 'n2', []],
        ['b', 'n1', ['dependencies']],
        ['c', 'n1', ['dependencies']],
        ['d', undefined, ['dependencies', 'resources']],
      ],
    );
    expect(cluster.index).toBe(before);
  });

  it('plans so many tasks at the most as keep the leader for a moment only', async () => {
    const { items } = await n2.planTasks({ ...NOTHING, batches: batchesOf(limits.plannedTasks) }, context);
    expect(items.reduce((sum, { count }) => sum + count, 0)).toBe(limits.plannedTasks);
    await expect(
      n2.planTasks({ ...NOTHING, batches: batchesOf(limits.plannedTasks + 1) }, context),
    ).rejects.toMatchObject({
      code: 'too_large',
    });
  });

  it('refuses what is wrong as a submission does', async () => {
    await expect(
      n2.planTasks({ ...NOTHING, tasks: [wire({ priority: 'urgent' })] }, context),
    ).rejects.toMatchObject({
      code: 'invalid',
      faults: [{ path: 'priority' }],
    });
  });
});
