import { describe, expect, it } from 'vitest';

import { plan } from '../placement/plan.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { TestGroup, dagInput, scannedCounts } from '../testing/groups.ts';
import { MIB, specOf } from '../testing/values.ts';

const once = specOf({ retry: { maxAttempts: 1 }, resources: { cpuMillis: 1, memoryBytes: MIB } });

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  return cluster;
}

function dagOf(
  cluster: TestCluster,
  edges: readonly (readonly number[])[],
  bounds: Parameters<typeof dagInput>[1] = {},
): TestGroup {
  return new TestGroup(cluster, 'dag', cluster.done(dagInput(edges, bounds, once)).id);
}

/** extract → transform → load */
const CHAIN = [[], [0], [1]] as const;

describe('a DAG', () => {
  it('runs in the order of its dependencies', () => {
    const cluster = formed();
    const dag = dagOf(cluster, CHAIN);
    expect(dag.statuses).toEqual(['PENDING', 'WAITING', 'WAITING']);
    expect(dag.row.counts).toEqual(scannedCounts(dag));
    expect(dag.tasks.map(({ dagTask }) => dagTask)).toEqual(['t0', 't1', 't2']);
    dag.run(0, 'n1', 'COMPLETED');
    expect(dag.statuses).toEqual(['COMPLETED', 'PENDING', 'WAITING']);
    dag.run(1, 'n1', 'COMPLETED');
    dag.run(2, 'n1', 'COMPLETED');
    expect(dag.row).toMatchObject({ status: 'COMPLETED', due: [] });
    expect(cluster.state.dags.size + cluster.state.graphs.size + cluster.state.specs.size).toBe(0);
    expect(cluster.stored.get('dagName/dag')?.row).toEqual({ name: 'dag', dagId: dag.id });
  });

  it('waits for all that a task depends on', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [], [0, 1]]);
    dag.run(1, 'n1', 'COMPLETED');
    expect(dag.statuses[2]).toBe('WAITING');
    dag.run(0, 'n1', 'COMPLETED');
    expect(dag.statuses[2]).toBe('PENDING');
  });

  it('skips all below a failure, and goes on beside it', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0], [1], [], [3], [2, 4]]);
    dag.run(0, 'n1', 'FAILED');
    expect(dag.statuses).toEqual([
      'PERMANENTLY_FAILED',
      'SKIPPED',
      'SKIPPED',
      'PENDING',
      'WAITING',
      'SKIPPED',
    ]);
    dag.run(3, 'n1', 'COMPLETED');
    dag.run(4, 'n1', 'COMPLETED');
    expect(dag.row.status).toBe('FAILED');
    expect(dag.row.counts).toEqual(scannedCounts(dag));
  });

  it('is CANCELLED where one of its tasks was cancelled and none failed', () => {
    const cluster = formed();
    const dag = dagOf(cluster, CHAIN);
    cluster.done({ type: 'cancelTask', taskId: dag.at(0).id, idempotency: null });
    expect(dag.statuses).toEqual(['CANCELLED', 'SKIPPED', 'SKIPPED']);
    expect(dag.row.status).toBe('CANCELLED');
  });

  it('is FAILED where nobody cancelled anything and the rest stays skipped', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0]]);
    dag.run(0, 'n1', 'FAILED');
    expect(dag.row).toMatchObject({ status: 'FAILED', statusReason: '1 of 2 tasks failed' });
    dag.retryAlone(0);
    dag.run(0, 'n1', 'COMPLETED');
    expect(dag.statuses).toEqual(['COMPLETED', 'SKIPPED']);
    expect(dag.row).toMatchObject({ status: 'FAILED', statusReason: '1 of 2 tasks were skipped' });
    dag.retry();
    dag.advanceAll();
    dag.run(1, 'n1', 'COMPLETED');
    expect(dag.row).toMatchObject({ status: 'COMPLETED', statusReason: null });
  });

  it('begins only when it is whole', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [], [], [0, 4], [1]], { sliceTasks: 2 });
    expect(plan(cluster.state, new Map(), 10).assignments).toEqual([]);
    expect(dag.row.counts).toMatchObject({ PENDING: 3, WAITING: 2 });
    dag.advanceAll();
    expect(plan(cluster.state, new Map(), 10).assignments).toHaveLength(3);
    expect(dag.row.counts).toEqual(scannedCounts(dag));
  });

  it('tells ten thousand dependents in pieces', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], ...Array.from({ length: 1800 }, () => [0])], { sliceTasks: 600 });
    dag.advanceAll();
    dag.run(0, 'n1', 'COMPLETED');
    expect(dag.row.counts).toMatchObject({ PENDING: 500, WAITING: 1300 });
    dag.advanceAll();
    expect(dag.row.counts).toMatchObject({ PENDING: 1800, WAITING: 0 });
    expect(dag.row.counts).toEqual(scannedCounts(dag));
  });

  it('is cancelled with all that waits', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0], [1], []]);
    cluster.assign(dag.at(0).id, 'n1');
    dag.cancel();
    expect(dag.statuses).toEqual(['ASSIGNED', 'CANCELLED', 'CANCELLED', 'CANCELLED']);
    cluster.report(dag.at(0).id, 'CANCELLED');
    expect(dag.row.status).toBe('CANCELLED');
  });

  it('bounds what runs at a time', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [], []], { maxParallel: 1 });
    expect(plan(cluster.state, new Map(), 10).assignments.map(({ taskId }) => taskId)).toEqual([
      dag.at(0).id,
    ]);
  });
});

describe('retrying a DAG', () => {
  it('goes on from what failed', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0], [1], [0]]);
    dag.run(0, 'n1', 'COMPLETED');
    dag.run(1, 'n1', 'FAILED');
    dag.run(3, 'n1', 'COMPLETED');
    expect(dag.row.status).toBe('FAILED');
    cluster.state = cluster.restored();
    dag.retry();
    dag.advanceAll();
    expect(dag.statuses).toEqual(['COMPLETED', 'PENDING', 'WAITING', 'COMPLETED']);
    dag.run(1, 'n1', 'COMPLETED');
    dag.run(2, 'n1', 'COMPLETED');
    expect(dag.row.status).toBe('COMPLETED');
  });

  it('comes through in slices, in whatever order its tasks are written', () => {
    const cluster = formed();
    // Written backwards: 0 depends on 1, and so on.
    const edges = Array.from({ length: 7 }, (_, at) => (at === 6 ? [] : [at + 1]));
    const dag = dagOf(cluster, edges, { sliceTasks: 2 });
    dag.advanceAll();
    dag.run(6, 'n1', 'COMPLETED');
    dag.run(5, 'n1', 'FAILED');
    expect(dag.row.counts).toMatchObject({ SKIPPED: 5, PERMANENTLY_FAILED: 1 });
    dag.retry();
    // Cancelled before the sweep has come to what depends on it.
    dag.advanceAll();
    expect(dag.row.counts).toMatchObject({ PENDING: 1, WAITING: 5 });
    for (const at of [5, 4, 3, 2, 1, 0]) dag.run(at, 'n1', 'COMPLETED');
    expect(dag.row.status).toBe('COMPLETED');
  });

  it('skips below what is cancelled while it is under way', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0], [1]], { sliceTasks: 1 });
    dag.advanceAll();
    dag.run(0, 'n1', 'FAILED');
    dag.retry();
    expect(dag.statuses[0]).toBe('PENDING');
    cluster.done({ type: 'cancelTask', taskId: dag.at(0).id, idempotency: null });
    dag.advanceAll();
    expect(dag.statuses).toEqual(['CANCELLED', 'SKIPPED', 'SKIPPED']);
    expect(dag.row.status).toBe('CANCELLED');
  });
});
