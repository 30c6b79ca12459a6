/** What becomes of batches and DAGs beside their own commands: events, retention, and single tasks that are begun anew. */
import { describe, expect, it } from 'vitest';

import { DEFAULT_RETENTION } from '../../../model/cluster.ts';
import { eventOf } from '../../../model/events.ts';
import type { DagRow } from '../../../model/group.ts';
import type { OrderedTableName, Tables } from '../../../model/rows.ts';
import { expiryOf } from '../expiry.ts';
import { TestGroup, dagInput } from '../testing/groups.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';

const ONCE = specOf({ name: 'one-{{index}}', retry: { maxAttempts: 1 } });

function formed(): TestCluster {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  return cluster;
}

function rowsOf<T extends OrderedTableName>(cluster: TestCluster, table: T): readonly Tables[T][] {
  return [...cluster.stored.values()]
    .filter((one) => one.table === table)
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row as Tables[T]);
}

function expireAll(cluster: TestCluster, dagNames: readonly string[] = []): void {
  const finished = rowsOf(cluster, 'finished');
  const rows = expiryOf({ events: rowsOf(cluster, 'event'), finished, usedKeys: [] });
  cluster.done({ type: 'expire', term: cluster.term, ...rows, dagNames });
}

function eventsOf(cluster: TestCluster, kind: string): readonly string[] {
  return rowsOf(cluster, 'event')
    .flatMap(({ items }) => items.map(eventOf))
    .filter((event) => event.kind === kind)
    .map(({ name, oldStatus, newStatus, reason }) =>
      [name, oldStatus ?? '-', newStatus ?? '-', ...(reason === null ? [] : [reason])].join(' '),
    );
}

function tables(cluster: TestCluster): readonly string[] {
  return [...new Set([...cluster.stored.values()].map(({ table }) => table))].sort();
}

function run(cluster: TestCluster, taskId: string, end: 'COMPLETED' | 'FAILED'): void {
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, 'RUNNING');
  cluster.report(taskId, end);
}

function retry(cluster: TestCluster, group: TestGroup, position: number) {
  const taskId = group.at(position).id;
  const { specId } = group.at(position);
  const { table, id } = group;
  return cluster.run({ type: 'retryTask', taskId, specId, group: { table, id }, idempotency: null }).outcome;
}

function dagOf(cluster: TestCluster, edges: readonly (readonly number[])[]): TestGroup {
  return new TestGroup(cluster, 'dag', cluster.done(dagInput(edges, {}, ONCE)).id);
}

describe('events of batches and DAGs', () => {
  it('tell every change of their status, and that they are to stop', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, { type: 'template', template: ONCE, count: 2 });
    run(cluster, batch.at(0).id, 'COMPLETED');
    cluster.assign(batch.at(1).id, 'n1');
    cluster.done({ type: 'cancelGroup', table: 'batch', id: batch.id, idempotency: null });
    cluster.report(batch.at(1).id, 'CANCELLED');
    expect(eventsOf(cluster, 'batch')).toEqual([
      'batch - PENDING',
      'batch PENDING RUNNING',
      'batch RUNNING RUNNING stopping',
      'batch RUNNING CANCELLED',
    ]);
  });
});

describe('retention of batches and DAGs', () => {
  it('takes a batch after its tasks, with the spec that they share', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, { type: 'template', template: ONCE, count: 2 });
    run(cluster, batch.at(0).id, 'COMPLETED');
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    run(cluster, batch.at(1).id, 'COMPLETED');
    expireAll(cluster);
    // The batch is younger than its first task.
    expect(tables(cluster)).toEqual(expect.arrayContaining(['batch', 'spec', 'task']));
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    expireAll(cluster);
    expect(tables(cluster)).not.toEqual(expect.arrayContaining(['batch']));
    expect(tables(cluster)).not.toEqual(expect.arrayContaining(['spec']));
    expect(cluster.state.cluster?.retained).toMatchObject({ finishedTaskCount: 0 });
  });

  it('takes a DAG with its graph and its name, unless a later run has the name', () => {
    const cluster = formed();
    const first = dagOf(cluster, [[]]);
    run(cluster, first.at(0).id, 'COMPLETED');
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    const second = dagOf(cluster, [[]]);
    run(cluster, second.at(0).id, 'COMPLETED');
    expireAll(cluster, ['dag']);
    expect(cluster.stored.has(`dag/${first.id}`)).toBe(false);
    expect(cluster.stored.get('dagName/dag')?.row).toMatchObject({ dagId: second.id });
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    expireAll(cluster, ['dag']);
    for (const table of ['dag', 'graph', 'dagName', 'task', 'spec', 'finished'])
      expect(tables(cluster)).not.toEqual(expect.arrayContaining([table]));
    expect(cluster.state.cluster?.retained).toMatchObject({ finishedTaskCount: 0 });
  });

  it('finds a DAG by its newest end', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[]]);
    run(cluster, dag.at(0).id, 'FAILED');
    cluster.atMs += DEFAULT_RETENTION.tasksMs - 1;
    expect(retry(cluster, dag, 0)).toMatchObject({ type: 'done' });
    cluster.atMs += 1;
    expireAll(cluster);
    expect(dag.row.status).toBe('RUNNING');
    run(cluster, dag.at(0).id, 'COMPLETED');
    expireAll(cluster);
    expect(dag.row.status).toBe('COMPLETED');
    cluster.atMs += DEFAULT_RETENTION.tasksMs;
    expireAll(cluster, ['dag']);
    expect(tables(cluster)).not.toEqual(expect.arrayContaining(['dag']));
  });
});

describe('a single task of a batch or DAG that is begun anew', () => {
  it('is counted, and the batch is not over until it is', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, { type: 'template', template: ONCE, count: 2 });
    run(cluster, batch.at(0).id, 'COMPLETED');
    run(cluster, batch.at(1).id, 'FAILED');
    expect(batch.row).toMatchObject({ status: 'FAILED' });
    expect(retry(cluster, batch, 1)).toMatchObject({ type: 'done' });
    expect(batch.row).toMatchObject({ status: 'RUNNING', finishedAtMs: null, statusReason: null });
    expect(batch.row.counts).toMatchObject({ COMPLETED: 1, PENDING: 1, PERMANENTLY_FAILED: 0 });
    expect(cluster.state.specs.get(batch.id)).toBeDefined();
    run(cluster, batch.at(1).id, 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'COMPLETED' });
    expect(cluster.state.specs.size).toBe(0);
  });

  it('runs although the batch was stopped', () => {
    const cluster = formed();
    const batch = TestGroup.batch(cluster, { type: 'template', template: ONCE, count: 2 });
    cluster.done({ type: 'cancelGroup', table: 'batch', id: batch.id, idempotency: null });
    expect(retry(cluster, batch, 0)).toMatchObject({ type: 'done' });
    expect(batch.row).toMatchObject({ status: 'PENDING', stopping: null });
    run(cluster, batch.at(0).id, 'COMPLETED');
    expect(batch.row).toMatchObject({ status: 'CANCELLED' });
  });

  it('is refused while all of them are stopped, and where more have failed than may', () => {
    const cluster = formed();
    const work = { type: 'template', template: ONCE, count: 4 } as const;
    const batch = TestGroup.batch(cluster, work, { maxFailures: 0 });
    cluster.assign(batch.at(2).id, 'n1');
    run(cluster, batch.at(0).id, 'FAILED');
    expect(retry(cluster, batch, 0)).toMatchObject({ type: 'refused', code: 'conflict' });
    cluster.report(batch.at(2).id, 'FAILED');
    expect(batch.row).toMatchObject({ status: 'FAILED' });
    const refused = retry(cluster, batch, 1);
    expect(refused).toMatchObject({ type: 'refused', message: expect.stringContaining('max_failures') });
    // The one that failed may: then none has.
    expect(retry(cluster, batch, 0)).toMatchObject({ type: 'done' });
  });

  it('is refused where its DAG would have to go before it, and where its group is not named', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [0]]);
    cluster.done({ type: 'cancelGroup', table: 'dag', id: dag.id, idempotency: null });
    expect(retry(cluster, dag, 1)).toMatchObject({
      type: 'refused',
      message: expect.stringContaining(dag.id),
    });
    const taskId = dag.at(0).id;
    const unnamed = cluster.run({ type: 'retryTask', taskId, specId: taskId, idempotency: null });
    expect(unnamed.outcome).toMatchObject({
      type: 'refused',
      message: expect.stringContaining('its dag is gone'),
    });
  });

  it('holds up those of its DAG that wait for it', () => {
    const cluster = formed();
    const dag = dagOf(cluster, [[], [], [0, 1]]);
    run(cluster, dag.at(0).id, 'COMPLETED');
    expect(retry(cluster, dag, 0)).toMatchObject({ type: 'done' });
    run(cluster, dag.at(1).id, 'COMPLETED');
    expect(dag.at(2).status).toBe('WAITING');
    run(cluster, dag.at(0).id, 'COMPLETED');
    expect(dag.at(2).status).toBe('PENDING');
    const begun = expect.stringContaining(`${dag.at(2).id}, which depends on it, is PENDING`);
    expect(retry(cluster, dag, 0)).toMatchObject({ type: 'refused', message: begun });
    run(cluster, dag.at(2).id, 'COMPLETED');
    expect(retry(cluster, dag, 2)).toMatchObject({ type: 'done' });
    expect((dag.row as DagRow).completed).toEqual([3]);
    expect(cluster.state.graphs.has(dag.id)).toBe(true);
    expect(cluster.restored().graphs.has(dag.id)).toBe(true);
  });
});
