import { describe, expect, it } from 'vitest';

import { TestCluster } from '../../scheduler/core/testing/test-cluster.ts';
import { MIB, NODE_CAPACITY, specOf } from '../../scheduler/core/testing/values.ts';
import { loadOf } from './load.ts';

const SECOND_MS = 1000;

function loadNow(cluster: TestCluster) {
  return loadOf(cluster.state, cluster.atMs);
}

describe('the load of a cluster', () => {
  it('is none before there is anything', () => {
    expect(loadOf(new TestCluster().state, 0)).toEqual({
      queueDepth: 0,
      averageWaitTime: 0,
      longestWaitTime: 0,
      unplaceable: 0,
      utilization: 0,
      nodes: 0,
      capacity: { cpuMillis: 0, memoryBytes: 0 },
      allocated: { cpuMillis: 0, memoryBytes: 0 },
    });
  });

  it('has the number of tasks that wait, and for how long', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    cluster.submit(specOf(), specOf());
    cluster.atMs += 20 * SECOND_MS;
    cluster.submitOne(specOf({ resources: { cpuMillis: 1, memoryBytes: 1 } }));
    cluster.atMs += 10 * SECOND_MS;
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 3, averageWaitTime: 70 / 3, longestWaitTime: 30 });
  });

  it('counts a wait anew from when a task is queued again, and goes on counting while it is changed there', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf({ retry: { backoffStrategy: 'fixed', backoffBase: 5 } }));
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'RUNNING');
    cluster.atMs += 60 * SECOND_MS;
    cluster.report(taskId, 'FAILED', { exitCode: 75, error: { type: 'TemporaryFailure', message: '' } });
    cluster.atMs += 5 * SECOND_MS;
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 0 });
    cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
    cluster.atMs += 3 * SECOND_MS;
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 1, averageWaitTime: 3, longestWaitTime: 3 });
    cluster.done({
      type: 'updateTask',
      taskId,
      specId: cluster.task(taskId).specId,
      changes: { priority: 'high' },
      idempotency: null,
    });
    cluster.atMs += SECOND_MS;
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 1, averageWaitTime: 4 });
  });

  it('has no longest wait below the average where the first in the queue has been queued anew', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const retry = { backoffStrategy: 'fixed' as const, backoffBase: 5 };
    const [first = ''] = cluster.submit(...Array.from({ length: 4 }, () => specOf({ retry })));
    cluster.assign(first, 'n1');
    cluster.atMs += 60 * SECOND_MS;
    cluster.report(first, 'FAILED', { exitCode: 75, error: { type: 'TemporaryFailure', message: '' } });
    cluster.atMs += 5 * SECOND_MS;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [first] });
    const { averageWaitTime, longestWaitTime } = loadNow(cluster);
    expect(averageWaitTime).toBe((3 * 65) / 4);
    expect(longestWaitTime).toBeGreaterThanOrEqual(averageWaitTime);
  });

  it('knows it after a restart from the rows alone', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    cluster.submitOne(specOf());
    cluster.atMs += 7 * SECOND_MS;
    expect(loadOf(cluster.restored(), cluster.atMs)).toEqual(loadNow(cluster));
  });

  it('leaves out what no node can hold, and says how much that is', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    cluster.submit(specOf(), specOf({ resources: { cpuMillis: 64_000, memoryBytes: 1 } }));
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 1, unplaceable: 1 });
    const [node] = cluster.state.nodes.values();
    if (node === undefined) throw new Error('there is a node');
    const large = { ...node, name: 'new', capacity: { cpuMillis: 64_000, memoryBytes: MIB } };
    expect(loadOf(cluster.state, cluster.atMs, [large])).toMatchObject({ queueDepth: 2, unplaceable: 0 });
  });

  it('counts of a concurrency key only what it lets run', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const concurrency = { key: 'db', max: 3 };
    const [first = ''] = cluster.submit(
      ...Array.from({ length: 6 }, (_, at) =>
        specOf({ concurrency, resources: { cpuMillis: 100 + (at % 2), memoryBytes: MIB } }),
      ),
    );
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 3 });
    cluster.assign(first, 'n1');
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 2 });
  });

  it('takes no room of a concurrency key for what no node can hold', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const concurrency = { key: 'db', max: 2 };
    const huge = specOf({ concurrency, resources: { cpuMillis: 64_000, memoryBytes: MIB } });
    cluster.submit(
      huge,
      huge,
      huge,
      specOf({ concurrency }),
      specOf({ concurrency }),
      specOf({ concurrency }),
    );
    expect(loadNow(cluster)).toMatchObject({ queueDepth: 2, unplaceable: 2 });
  });

  it('is as full as the fuller of processors and memory, of nodes that work', () => {
    const cluster = TestCluster.formed();
    for (const name of ['n1', 'n2', 'n3']) cluster.join(name);
    const { cpuMillis, memoryBytes } = NODE_CAPACITY;
    const taskId = cluster.submitOne(
      specOf({ resources: { cpuMillis: cpuMillis / 4, memoryBytes: memoryBytes / 2 } }),
    );
    cluster.assign(taskId, 'n1');
    expect(loadNow(cluster)).toMatchObject({ nodes: 3, utilization: expect.closeTo(100 / 6) as number });
    cluster.offline('n3');
    expect(loadNow(cluster)).toMatchObject({
      nodes: 2,
      utilization: 25,
      capacity: { cpuMillis: 2 * cpuMillis, memoryBytes: 2 * memoryBytes },
      allocated: { cpuMillis: cpuMillis / 4, memoryBytes: memoryBytes / 2 },
    });
  });
});
