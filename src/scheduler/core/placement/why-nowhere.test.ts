import { describe, expect, it } from 'vitest';

import type { NodeRow } from '../../../model/node.ts';
import { DEFAULT_POLICY } from '../../../model/policy.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { MIB, specOf } from '../testing/values.ts';
import { plan } from './plan.ts';
import { whyNowhere } from './why-nowhere.ts';

describe('why no node can hold a task', () => {
  it('is said in the same words in whichever order the nodes are kept: the words are replicated', () => {
    const cluster = TestCluster.formed();
    for (const name of ['n2', 'n3', 'n1']) cluster.join(name);
    const nodes: readonly NodeRow[] = [...cluster.state.nodes.values()];
    const task = { resources: { cpuMillis: 1_000_000, memoryBytes: MIB }, needs: null };
    const reasons = [nodes, nodes.toReversed(), nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))].map(
      (order) => whyNowhere(task, order, null),
    );
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toContain('n1');
  });

  it('may be that none can enforce its limits', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1', { isolation: 'none' });
    const task = specOf({ limits: { cpuMillis: null, memoryBytes: MIB, pids: 5 } });
    const [taskId = ''] = cluster.submit(task);
    expect(cluster.state.tasks.get(taskId)?.statusReason).toBe(
      'no node offers a driver for commands whose cpu or processes are limited',
    );
    expect(plan(cluster.state, new Map(), 9).assignments).toEqual([]);
    cluster.join('n2', { isolation: 'cgroup2' });
    expect(plan(cluster.state, new Map(), 9).assignments).toMatchObject([{ taskId, node: 'n2' }]);
  });

  it('may be that none allows its user, which is a reason of its own for each user', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1', { policy: { ...DEFAULT_POLICY, users: ['app'] } });
    const [root = '', app = ''] = cluster.submit(specOf({ user: 'root' }), specOf({ user: 'app' }));
    expect(cluster.state.tasks.get(root)?.statusReason).toContain('user "root" is forbidden');
    expect(plan(cluster.state, new Map(), 9).assignments).toMatchObject([{ taskId: app, node: 'n1' }]);
  });
});
