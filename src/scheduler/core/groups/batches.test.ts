import { describe, expect, it } from 'vitest';

import { plan } from '../placement/plan.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { TestGroup, batchInput, listOf, scannedCounts } from '../testing/groups.ts';
import { MIB, containerOf, specOf } from '../testing/values.ts';

const SMALL = { cpuMillis: 10, memoryBytes: MIB };

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  cluster.join('n1', { drivers: ['process', 'docker'] });
  return cluster;
}

function template(count: number, changes: Parameters<typeof specOf>[0] = {}) {
  return { type: 'template', count, template: specOf({ resources: SMALL, ...changes }) } as const;
}

const onceOnly = { retry: { maxAttempts: 1 } };

describe('a batch', () => {
  it('is made of its tasks, in their order, each knowing its place', () => {
    const cluster = formed();
    const tasks = ['a', 'b', 'c'].map((name) => specOf({ name, resources: SMALL }));
    const batch = TestGroup.batch(cluster, listOf(tasks));
    expect(batch.tasks).toMatchObject(
      ['a', 'b', 'c'].map((name, at) => ({ name, batchId: batch.id, batchIndex: at, status: 'PENDING' })),
    );
    expect(batch.row).toMatchObject({ size: 3, made: 3, status: 'PENDING', counts: { PENDING: 3 } });
    expect([...cluster.state.pending()].map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('keeps a template once, and fills it in for each task', () => {
    const cluster = formed();
    const spec = specOf({
      name: 'part-{{index}}',
      command: ['work', '--of={{ file }}', '{{.GoTemplate}}'],
      env: [['FILE', '{{file}}-{{index}}']],
      container: containerOf({ image: 'img:v{{index}}' }),
      resources: SMALL,
    });
    const parameters = [[['file', 'x'] as const], [['file', '{{index}}'] as const]];
    const batch = TestGroup.batch(cluster, { type: 'parameters', template: spec, parameters });
    expect([...cluster.stored.keys()].filter((name) => name.startsWith('spec/'))).toEqual([
      `spec/${batch.id}`,
    ]);
    expect(batch.tasks.map(({ name }) => name)).toEqual(['part-0', 'part-1']);
    expect(batch.tasks[0]?.needs).toMatchObject({ registry: 'docker.io' });
    expect(cluster.state.specs.get(batch.id)?.spec).toEqual(spec);
  });

  it('runs, and is COMPLETED with the last of its tasks', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(3));
    batch.run(0, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'RUNNING', finishedAtMs: null });
    batch.run(2, 'n1', 'COMPLETED');
    cluster.atMs += 10;
    batch.run(1, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'COMPLETED', finishedAtMs: cluster.atMs });
    expect(batch.row.counts).toEqual(scannedCounts(batch));
    expect(cluster.state.batches.size).toBe(0);
    expect(cluster.state.specs.size).toBe(0);
  });

  it('is FAILED where one of its tasks failed for good, once all are over', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(2, onceOnly));
    batch.run(0, 'n1', 'FAILED');
    expect(batch.row.status).toBe('RUNNING');
    batch.run(1, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'FAILED', statusReason: '1 of 2 tasks failed' });
  });

  it('makes the rows of many tasks in slices, and counts them from the beginning', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(12), { sliceTasks: 5 });
    expect(batch.tasks).toHaveLength(5);
    expect(batch.row).toMatchObject({ made: 5, counts: { PENDING: 12 } });
    const first = batch.at(0).id;
    batch.run(0, 'n1', 'COMPLETED');
    batch.advanceAll();
    expect(batch.tasks).toHaveLength(12);
    expect(batch.row).toMatchObject({ made: 12, counts: { PENDING: 11, COMPLETED: 1 } });
    expect(batch.tasks[0]?.id).toBe(first);
    // They take the place of their submission.
    const later = cluster.submitOne(specOf({ resources: SMALL }));
    expect([...cluster.state.pending()].at(-1)?.id).toBe(later);
  });

  it('has the template back where all that was made is over before the rest is', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(4), { sliceTasks: 2 });
    batch.run(0, 'n1', 'COMPLETED');
    batch.run(1, 'n1', 'COMPLETED');
    expect(cluster.state.specs.size).toBe(0);
    batch.advanceAll();
    expect(cluster.state.specs.size).toBe(1);
    expect(batch.row.status).toBe('RUNNING');
  });

  it('keeps what its tasks are made of only until they are', () => {
    const cluster = formed();
    const tasks = Array.from({ length: 7 }, (_, at) => specOf({ name: `t${at}`, resources: SMALL }));
    const batch = TestGroup.batch(cluster, listOf(tasks), { sliceTasks: 3 });
    const blueprints = () => [...cluster.stored.keys()].filter((name) => name.startsWith('blueprint/'));
    expect(blueprints()).toEqual([`blueprint/${batch.id}/3`, `blueprint/${batch.id}/6`]);
    batch.advanceAll();
    expect(blueprints()).toEqual([]);
    expect(batch.tasks.map(({ name }) => name)).toEqual(tasks.map(({ name }) => name));
  });

  it('is accepted once per key', () => {
    const cluster = formed();
    const input = { ...batchInput(template(3)), idempotency: { key: 'k', requestDigest: 'd' } };
    const first = cluster.done(input);
    expect(cluster.done(input)).toEqual(first);
    expect(cluster.state.tasks.size).toBe(3);
    const other = { ...input, idempotency: { key: 'k', requestDigest: 'e' } };
    expect(cluster.refusal(other).code).toBe('idempotency_conflict');
  });
});

describe('max_parallel', () => {
  it('bounds what runs at a time, in plans and in apply', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(5), { maxParallel: 2 });
    const other = cluster.submitOne(specOf({ resources: SMALL }));
    const planned = plan(cluster.state, new Map(), 100).assignments;
    expect(planned.map(({ taskId }) => taskId)).toEqual([batch.at(0).id, batch.at(1).id, other]);
    const inFlight = new Map(planned.slice(0, 1).map((one) => [one.taskId, one]));
    const more = plan(cluster.state, inFlight, 100).assignments;
    expect(more.map(({ taskId }) => taskId)).toEqual([batch.at(1).id, other]);

    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const assignments = [0, 1, 2].map((at) => ({ taskId: batch.at(at).id, node: 'n1', session }));
    const result = cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
    expect(result.accepted).toEqual([batch.at(0).id, batch.at(1).id]);
    expect(result.refused[0]?.reason).toContain('max_parallel');
    cluster.report(batch.at(0).id, 'COMPLETED');
    expect(plan(cluster.state, new Map(), 100).assignments[0]?.taskId).toBe(batch.at(2).id);
  });
});

describe('max_failures', () => {
  it('ends the rest with one failure more', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(6, onceOnly), { maxFailures: 1, sliceTasks: 3 });
    cluster.assign(batch.at(2).id, 'n1');
    batch.run(0, 'n1', 'FAILED');
    expect(batch.row.stopping).toBeNull();
    batch.run(1, 'n1', 'FAILED');
    expect(batch.row).toMatchObject({ stopping: 'failures', status: 'RUNNING' });
    expect(plan(cluster.state, new Map(), 100).assignments).toEqual([]);
    batch.advanceAll();
    expect(batch.row.counts).toEqual(scannedCounts(batch));
    expect(batch.statuses).toEqual([
      'PERMANENTLY_FAILED',
      'PERMANENTLY_FAILED',
      'ASSIGNED',
      'CANCELLED',
      'CANCELLED',
      'CANCELLED',
    ]);
    cluster.report(batch.at(2).id, 'CANCELLED');
    expect(batch.row).toMatchObject({
      status: 'FAILED',
      statusReason: '2 of 6 tasks failed: more than 1 (max_failures)',
    });
  });
});

function endedByBound(): { readonly cluster: TestCluster; readonly batch: TestGroup } {
  const cluster = formed();
  const batch = TestGroup.batch(cluster, template(3, onceOnly), { maxFailures: 0 });
  batch.run(0, 'n1', 'FAILED');
  expect(batch.row).toMatchObject({ status: 'FAILED', counts: { PERMANENTLY_FAILED: 1, CANCELLED: 2 } });
  batch.retryAlone(0);
  return { cluster, batch };
}

describe('what max_failures has ended, with a task begun anew alone', () => {
  const REASON = '2 of 3 tasks were cancelled: more than 0 had failed (max_failures)';

  it('is FAILED: nobody has cancelled the rest', () => {
    const { cluster, batch } = endedByBound();
    expect(batch.row).toMatchObject({ status: 'RUNNING', stopping: null });
    cluster.state = cluster.restored();
    batch.run(0, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'FAILED', statusReason: REASON });
    // One more of them: the others are still as the bound has left them.
    batch.retryAlone(1);
    batch.run(1, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({
      status: 'FAILED',
      statusReason: '1 of 3 tasks were cancelled: more than 0 had failed (max_failures)',
    });
    batch.retryAlone(2);
    batch.run(2, 'n1', 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'COMPLETED', statusReason: null });
  });

  it('is CANCELLED where somebody cancels it after that', () => {
    const { batch } = endedByBound();
    batch.cancel();
    expect(batch.row).toMatchObject({ status: 'CANCELLED', statusReason: null });
  });

  it('is CANCELLED where it was begun anew as a whole, and somebody cancels a task', () => {
    const { cluster, batch } = endedByBound();
    batch.run(0, 'n1', 'COMPLETED');
    batch.retry();
    batch.advanceAll();
    batch.run(1, 'n1', 'COMPLETED');
    cluster.done({ type: 'cancelTask', taskId: batch.at(2).id, idempotency: null });
    expect(batch.row).toMatchObject({ status: 'CANCELLED', statusReason: null });
  });
});

describe('cancelling a batch', () => {
  it('ends what waits at once, also what is not made yet, and what runs once nothing of it does', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(10), { sliceTasks: 4 });
    cluster.assign(batch.at(1).id, 'n1');
    batch.cancel();
    expect(batch.row).toMatchObject({ status: 'RUNNING', statusReason: 'stopping' });
    batch.advanceAll();
    expect(batch.row.counts).toMatchObject({ CANCELLED: 9, ASSIGNED: 1 });
    cluster.report(batch.at(1).id, 'CANCELLED');
    expect(batch.row.status).toBe('CANCELLED');
    expect(batch.row.counts).toEqual(scannedCounts(batch));
    // Again: nothing is left to do, and that is fine.
    batch.cancel();
  });

  it('is refused where it is over otherwise, or nobody knows it', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(1));
    batch.run(0, 'n1', 'COMPLETED');
    const cancel = { type: 'cancelGroup', table: 'batch', id: batch.id, idempotency: null } as const;
    expect(cluster.refusal(cancel)).toMatchObject({ code: 'conflict' });
    expect(cluster.refusal({ ...cancel, id: 'batch-none' })).toMatchObject({ code: 'not_found' });
  });
});

describe('retrying a batch', () => {
  it('begins anew what did not complete, and nothing else', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(7, onceOnly), { sliceTasks: 3 });
    batch.advanceAll();
    for (const at of [0, 1, 2, 3, 4, 5]) batch.run(at, 'n1', at % 2 === 0 ? 'COMPLETED' : 'FAILED');
    cluster.done({ type: 'cancelTask', taskId: batch.at(6).id, idempotency: null });
    expect(batch.row.status).toBe('FAILED');
    const restored = cluster.restored();
    expect(restored.batches.size).toBe(0);
    cluster.state = restored;
    batch.retry();
    expect(batch.row).toMatchObject({ status: 'RUNNING', finishedAtMs: null, counts: { PENDING: 1 } });
    batch.advanceAll();
    expect(batch.row.counts).toMatchObject({ COMPLETED: 3, PENDING: 4 });
    expect(cluster.state.specs.size).toBe(1);
    for (const at of [1, 3, 5, 6]) batch.run(at, 'n1', 'COMPLETED');
    expect(batch.row.status).toBe('COMPLETED');
    expect(batch.at(1)).toMatchObject({ attempt: 2, retryCount: 0 });
    expect(batch.row.counts).toEqual(scannedCounts(batch));
  });

  it('is not stopped at once by the failures that it was stopped for', () => {
    const cluster = formed();
    const bounds = { maxFailures: 0, sliceTasks: 2 };
    const batch = TestGroup.batch(cluster, template(6, onceOnly), bounds);
    batch.advanceAll();
    for (const at of [0, 2, 4]) cluster.assign(batch.at(at).id, 'n1');
    for (const at of [0, 2, 4]) cluster.report(batch.at(at).id, 'FAILED');
    batch.advanceAll();
    expect(batch.row).toMatchObject({ status: 'FAILED', counts: { PERMANENTLY_FAILED: 3, CANCELLED: 3 } });
    batch.retry();
    // What fails again meanwhile counts when all have been begun anew.
    batch.run(0, 'n1', 'FAILED');
    expect(batch.row.stopping).toBeNull();
    batch.advanceAll();
    expect(batch.row).toMatchObject({ status: 'FAILED', counts: { PERMANENTLY_FAILED: 1, CANCELLED: 5 } });
    batch.retry();
    batch.advanceAll();
    expect(batch.row.counts).toMatchObject({ PENDING: 6 });
  });

  it('is refused while it runs, and where all has completed', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, template(1));
    const retry = {
      type: 'retryGroup',
      table: 'batch',
      id: batch.id,
      taskIds: [],
      idempotency: null,
    } as const;
    expect(cluster.refusal(retry).code).toBe('conflict');
    batch.run(0, 'n1', 'COMPLETED');
    expect(cluster.refusal(retry).code).toBe('conflict');
  });
});
