import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { NodePolicy } from '../../../model/policy.ts';
import type { ContainerSpec, TaskRow, TaskSpec } from '../../../model/task.ts';
import { requestKey } from '../request.ts';
import type { ClusterState } from '../state.ts';
import { listOf, TestGroup } from '../testing/groups.ts';
import { candidatesOf, explain } from './explain.ts';
import type { PlannedAssignment } from './in-flight.ts';
import { MIB, containerOf, specOf } from '../testing/values.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { plan, toAssignments } from './plan.ts';

const NOTHING: ReadonlyMap<string, PlannedAssignment> = new Map();

function clusterOf(...names: readonly string[]): TestCluster {
  const cluster = TestCluster.formed();
  for (const name of names) cluster.join(name);
  return cluster;
}

function several(count: number, changes: Partial<Pick<TaskSpec, 'resources' | 'priority'>> = {}): TaskSpec[] {
  return Array.from({ length: count }, () =>
    specOf({ resources: { cpuMillis: 100, memoryBytes: MIB }, ...changes }),
  );
}

function counts(assignments: readonly PlannedAssignment[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { node } of assignments) found[node] = (found[node] ?? 0) + 1;
  return found;
}

describe('spread', () => {
  it('lands ten equal tasks on three idle, equal nodes as 3, 3 and 4', () => {
    const cluster = clusterOf('n3', 'n1', 'n2');
    cluster.submit(...several(10));
    const { assignments, unplaced, more } = plan(cluster.state, NOTHING, 256);
    expect(counts(assignments)).toEqual({ n1: 4, n2: 3, n3: 3 });
    expect({ unplaced, more }).toEqual({ unplaced: [], more: false });
  });

  it('does so too when the ten come one by one, each planned while the last is in flight', () => {
    const cluster = clusterOf('n1', 'n2', 'n3');
    const inFlight = new Map<string, PlannedAssignment>();
    for (let n = 0; n < 10; n += 1) {
      cluster.submit(...several(1));
      for (const one of plan(cluster.state, inFlight, 256).assignments) inFlight.set(one.taskId, one);
    }
    expect(counts([...inFlight.values()])).toEqual({ n1: 4, n2: 3, n3: 3 });
  });

  it('prefers the node with the larger share left, then fewer tasks, then the name', () => {
    const cluster = clusterOf('n2', 'n1');
    cluster.join('n0', { capacity: { cpuMillis: 2000, memoryBytes: 2048 * MIB } });
    const [first, second, third] = cluster.submit(
      ...several(3, { resources: { cpuMillis: 1000, memoryBytes: MIB } }),
    );
    const planned = new Map(plan(cluster.state, NOTHING, 9).assignments.map((one) => [one.taskId, one.node]));
    expect([first, second, third].map((taskId) => planned.get(taskId ?? ''))).toEqual(['n1', 'n2', 'n0']);
  });
});

describe('the number of tasks on a node', () => {
  it('is bounded, in the plan and where it is applied, however little they ask for', () => {
    const cluster = TestCluster.formed();
    const most = limits.tasksPerNode;
    const session = cluster.join('n1', { capacity: { cpuMillis: most * 2, memoryBytes: most * MIB } });
    const taskIds = cluster.submit(...several(most + 2, { resources: { cpuMillis: 1, memoryBytes: 1 } }));
    const { assignments, more } = plan(cluster.state, NOTHING, most * 2);
    expect({ count: assignments.length, more }).toEqual({ count: most, more: false });
    const all = taskIds.map((taskId) => ({ taskId, node: 'n1', session }));
    const result = cluster.done({ type: 'assign', term: cluster.term, planIndex: 0, assignments: all });
    expect(result).toMatchObject({ refused: taskIds.slice(most).map((taskId) => ({ taskId })) });
    expect(plan(cluster.state, NOTHING, most).assignments).toEqual([]);
  });
});

describe('the order', () => {
  it('is strictly by priority, then submission', () => {
    const cluster = clusterOf('n1');
    const low = cluster.submit(...several(1, { priority: 'low' }));
    const normal = cluster.submit(...several(2));
    const critical = cluster.submit(...several(1, { priority: 'critical' }));
    const big = cluster.submit(...several(1, { resources: { cpuMillis: 500, memoryBytes: MIB } }));
    const more = cluster.submit(...several(1));
    const order = plan(cluster.state, NOTHING, 256).assignments.map(({ taskId }) => taskId);
    expect(order).toEqual([...critical, ...normal, ...big, ...more, ...low]);
  });

  it('says of memory what is lacking in units for people', () => {
    const cluster = clusterOf('n1');
    const lacks = (memoryBytes: number): string | undefined => {
      const [id] = cluster.submit(specOf({ resources: { cpuMillis: 1, memoryBytes } }));
      return reasonsFor(cluster, id)[0]?.nearestMiss;
    };
    const whole = 4096 * MIB;
    expect(lacks(whole + 1)).toBe('node n1 lacks 1Mi of memory');
    expect(lacks(whole + 512 * MIB)).toBe('node n1 lacks 512Mi of memory');
    expect(lacks(whole + 1537 * MIB)).toBe('node n1 lacks 1.6Gi of memory');
  });

  it('lets what fits overtake what does not', () => {
    const cluster = clusterOf('n1');
    const [big] = cluster.submit(specOf({ resources: { cpuMillis: 9000, memoryBytes: MIB } }));
    const [small] = cluster.submit(...several(1));
    const { assignments, unplaced } = plan(cluster.state, NOTHING, 256);
    expect(assignments.map(({ taskId }) => taskId)).toEqual([small]);
    expect(unplaced).toEqual([{ taskId: big, resources: { cpuMillis: 9000, memoryBytes: MIB } }]);
    expect(reasonsFor(cluster, big)).toEqual([
      { filter: 'resources', excluded: 1, nearestMiss: 'node n1 lacks 5000m cpu' },
    ]);
  });
});

describe('what a plan may not do', () => {
  it('places nothing beyond its limit, and says that there is more', () => {
    const cluster = clusterOf('n1');
    cluster.submit(...several(3));
    expect(plan(cluster.state, NOTHING, 2)).toMatchObject({ assignments: [{}, {}], more: true });
    expect(plan(cluster.state, NOTHING, 3)).toMatchObject({ assignments: [{}, {}, {}], more: false });
  });

  it('counts plans in flight as taken, and plans none of their tasks again', () => {
    const cluster = clusterOf('n1');
    cluster.submit(...several(3, { resources: { cpuMillis: 2000, memoryBytes: MIB } }));
    const first = plan(cluster.state, NOTHING, 1);
    const inFlight = new Map(first.assignments.map((one) => [one.taskId, one]));
    const second = plan(cluster.state, inFlight, 256);
    expect(second.assignments).toHaveLength(1);
    expect(second.unplaced).toHaveLength(1);
    const assignments = toAssignments([...first.assignments, ...second.assignments]);
    const result = cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
    expect(result.refused).toEqual([]);
  });

  it('places nothing on nodes that take no work, and says why', () => {
    const cluster = clusterOf('n1', 'n2', 'n3');
    cluster.register('n4');
    cluster.join('n5', { drivers: ['docker'] });
    cluster.offline('n1');
    const session = cluster.state.nodes.get('n2')?.session ?? 0;
    cluster.done({ type: 'nodeHealth', term: 1, node: 'n2', session, healthy: false });
    cluster.register('n3', { startId: 'again' });
    const [taskId] = cluster.submit(...several(1));
    const { assignments } = plan(cluster.state, NOTHING, 256);
    expect(assignments).toEqual([]);
    expect(reasonsFor(cluster, taskId)).toEqual([
      { filter: 'health', excluded: 4, nearestMiss: 'node n1 is OFFLINE' },
      { filter: 'driver', excluded: 1, nearestMiss: 'node n5 offers no driver for commands' },
    ]);
  });

  it('names the nearest miss', () => {
    const cluster = clusterOf('n1');
    cluster.join('n2', { capacity: { cpuMillis: 4900, memoryBytes: 1 } });
    cluster.join('n3', { capacity: { cpuMillis: 4900, memoryBytes: 1024 * MIB } });
    const [taskId] = cluster.submit(specOf({ resources: { cpuMillis: 5000, memoryBytes: MIB } }));
    expect(reasonsFor(cluster, taskId)).toEqual([
      { filter: 'resources', excluded: 3, nearestMiss: 'node n3 lacks 100m cpu' },
    ]);
  });
});

describe('images', () => {
  const open: NodePolicy = {
    mounts: [{ source: '/srv', readOnly: false }],
    hostNetwork: true,
    users: null,
    registries: null,
  };

  it('go where there is an engine, commands where there is none', () => {
    const cluster = clusterOf('n1');
    cluster.join('n2', { drivers: ['docker'] });
    cluster.submit(...several(2), ...images({}, {}));
    expect(counts(plan(cluster.state, NOTHING, 9).assignments)).toEqual({ n1: 2, n2: 2 });
  });

  it('go where the policy allows them, also past others of the queue that find no place', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1', { drivers: ['docker', 'process'] });
    const [forbidden, again] = cluster.submit(...images({ network: 'host' }, { network: 'host' }));
    const [plain] = cluster.submit(...images({}));
    const first = plan(cluster.state, NOTHING, 9);
    expect(first.assignments.map(({ taskId }) => taskId)).toEqual([plain]);
    expect(first.unplaced).toMatchObject([{ taskId: forbidden }]);
    expect(reasonsFor(cluster, forbidden)).toEqual([
      {
        filter: 'policy',
        excluded: 1,
        nearestMiss: 'node n1: network host is forbidden by policy.host_network',
      },
    ]);
    cluster.join('n2', { drivers: ['docker'], policy: open });
    const second = plan(cluster.state, NOTHING, 9).assignments;
    expect(second.filter(({ node }) => node === 'n2').map(({ taskId }) => taskId)).toEqual([
      forbidden,
      again,
    ]);
  });

  it('are refused where the state has changed since the plan', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1', { drivers: ['docker'], policy: open });
    const [taskId = ''] = cluster.submit(
      ...images({ mounts: [{ source: '/srv/a', target: '/a', readOnly: false }] }),
    );
    const assignments = [{ taskId, node: 'n1', session }];
    const assign = { type: 'assign', term: 1, planIndex: cluster.index, assignments } as const;
    cluster.register('n1', { drivers: ['process'] });
    expect(cluster.done(assign).refused).toEqual([{ taskId, reason: 'node n1 offers no driver for images' }]);
    cluster.register('n1', { drivers: ['docker'] });
    expect(cluster.done(assign).refused).toMatchObject([
      { taskId, reason: expect.stringContaining('node n1: mounts 0 "/srv/a" is forbidden by policy.mounts') },
    ]);
    cluster.register('n1', { drivers: ['docker'], policy: open });
    expect(cluster.done(assign).accepted).toEqual([taskId]);
  });

  it('are alike where policies cannot tell them apart', () => {
    const plain = keyOf({});
    expect(keyOf({ image: 'redis:7', pullPolicy: 'never', network: 'none' })).toBe(plain);
    const mounts = [{ source: '/a', target: '/b', readOnly: true }];
    const others = [
      keyOf({ image: 'localhost:5000/python' }),
      keyOf({ user: 'root' }),
      keyOf({ network: 'host' }),
      keyOf({ mounts }),
      keyOf({ mounts: [{ source: '/a', target: '/b', readOnly: false }] }),
    ];
    expect(new Set([plain, ...others]).size).toBe(6);
    expect(keyOf({ mounts: [{ source: '/a', target: '/c', readOnly: true }] })).toBe(keyOf({ mounts }));
  });

  it('say why no node of today could hold them', () => {
    const cluster = TestCluster.formed();
    const reasonFor = (changes: Partial<ContainerSpec>, cpuMillis = 1) => {
      const spec = specOf({ container: containerOf(changes), resources: { cpuMillis, memoryBytes: 1 } });
      return cluster.task(cluster.submitOne(spec)).statusReason;
    };
    expect(reasonFor({})).toBe('no node is registered yet');
    cluster.join('n1');
    expect(reasonFor({})).toBe('no node offers a driver for images');
    cluster.join('n2', { drivers: ['docker'] });
    expect(reasonFor({})).toBeNull();
    expect(reasonFor({ network: 'host' })).toBe(
      'no node can hold it: 1 without a driver for images; ' +
        '1 where it is forbidden (node n2: network host is forbidden by policy.host_network)',
    );
    expect(reasonFor({}, 5000)).toBe(
      'no node can hold it: 1 without a driver for images; 1 too small (node n2 lacks 1000m cpu)',
    );
    cluster.register('n1', { drivers: ['docker'] });
    expect(reasonFor({ network: 'host' })).toBe(
      'forbidden on every node; for instance node n1: network host is forbidden by policy.host_network',
    );
  });
});

describe('rows from before there were images', () => {
  it('are commands, and nodes that allow nothing', () => {
    const cluster = clusterOf('n1');
    const [taskId = ''] = cluster.submit(...several(1));
    for (const stored of cluster.stored.values()) Object.assign(stored, { row: without(stored.row) });
    cluster.state = cluster.restored();
    expect(plan(cluster.state, NOTHING, 1).assignments).toMatchObject([{ taskId, node: 'n1' }]);
    cluster.assign(taskId, 'n1');
  });
});

describe('a long queue that does not fit', () => {
  it('is looked at once per request, not once per task', () => {
    const cluster = clusterOf('n1');
    const wide = { resources: { cpuMillis: 5000, memoryBytes: MIB } };
    const tall = { resources: { cpuMillis: 100, memoryBytes: 9000 * MIB } };
    cluster.submit(...several(500, wide), ...several(500, tall));
    const [small] = cluster.submit(...several(1, { priority: 'low' }));
    const { state, looks } = counting(cluster.state);
    const { assignments, unplaced } = plan(state, NOTHING, 256);
    expect(assignments.map(({ taskId }) => taskId)).toEqual([small]);
    expect(unplaced).toHaveLength(2);
    expect(looks()).toBe(3);
  });
});

describe('a batch that is being stopped', () => {
  it('is passed over at once, however many of its tasks are left', () => {
    const cluster = clusterOf('n1');
    const batch = TestGroup.batch(cluster, listOf(several(1000)), { sliceTasks: 10 });
    batch.advanceAll();
    const [later] = cluster.submit(...several(1));
    batch.cancel();
    expect(cluster.state.pendingCount).toBe(991);
    let asked = 0;
    const { state, looks } = counting(cluster.state, (task) => {
      asked += 1;
      return cluster.state.isHeld(task);
    });
    expect(plan(state, NOTHING, 256).assignments.map(({ taskId }) => taskId)).toEqual([later]);
    expect([asked, looks()]).toEqual([2, 1]);
  });
});

/** The state, and how many tasks of its queue were looked at. */
function counting(
  state: ClusterState,
  skipGroup?: (task: TaskRow) => boolean,
): { readonly state: ClusterState; readonly looks: () => number } {
  let looks = 0;
  const proxy = new Proxy(state, {
    get(target, property) {
      if (property === 'pending') {
        return function* pending(...[skip, held]: Parameters<typeof target.pending>) {
          for (const task of target.pending(skip, skipGroup ?? held)) {
            looks += 1;
            yield task;
          }
        };
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { state: proxy, looks: () => looks };
}

function reasonsFor(cluster: TestCluster, taskId = '') {
  return explain(cluster.task(taskId), candidatesOf(cluster.state));
}

function images(...containers: readonly Partial<ContainerSpec>[]) {
  return containers.map((changes) =>
    specOf({ container: containerOf(changes), resources: { cpuMillis: 100, memoryBytes: MIB } }),
  );
}

function keyOf(changes: Partial<ContainerSpec>) {
  const cluster = TestCluster.formed();
  return requestKey(cluster.task(cluster.submitOne(specOf({ container: containerOf(changes) }))));
}

function without(row: object): object {
  return Object.fromEntries(Object.entries(row).filter(([key]) => key !== 'needs' && key !== 'policy'));
}
