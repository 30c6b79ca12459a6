import { describe, expect, it } from 'vitest';

import { eventOf, entryKey, type StateEvent } from '../../model/events.ts';
import type { Tables } from '../../model/rows.ts';
import type { CommandInput } from '../ports.ts';
import { TestCluster } from './testing/test-cluster.ts';
import { specOf } from './testing/values.ts';

/** Of the newest entry. */
function rowOf<T extends 'event' | 'finished' | 'usedKeys'>(
  cluster: TestCluster,
  table: T,
): Tables[T] | undefined {
  return cluster.stored.get(`${table}/${entryKey(cluster.index)}`)?.row as Tables[T] | undefined;
}

function newest(cluster: TestCluster): readonly StateEvent[] {
  return (rowOf(cluster, 'event')?.items ?? []).map(eventOf);
}

function shown(cluster: TestCluster): readonly string[] {
  return newest(cluster).map(
    ({ kind, name, oldStatus, newStatus, reason }) =>
      `${kind} ${name} ${oldStatus ?? '-'} → ${newStatus ?? '-'}${reason === null ? '' : ` (${reason})`}`,
  );
}

const ONCE = { retry: { maxAttempts: 1 } } as const;

describe('events of tasks', () => {
  it('tell every change of status, with the id, in the order in which the entry made them', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const [first, second] = cluster.submit(specOf({ name: 'one' }), specOf({ name: 'two' }));
    expect(shown(cluster)).toEqual(['task one - → PENDING', 'task two - → PENDING']);
    expect(newest(cluster).map(({ id }) => id)).toEqual([first, second]);
    expect(rowOf(cluster, 'event')).toMatchObject({ index: cluster.index, atMs: cluster.atMs });
    cluster.assign(first ?? '', 'n1');
    expect(shown(cluster)).toEqual(['task one PENDING → ASSIGNED']);
    cluster.report(first ?? '', 'RUNNING');
    expect(shown(cluster)).toEqual(['task one ASSIGNED → RUNNING']);
    cluster.report(first ?? '', 'COMPLETED');
    expect(shown(cluster)).toEqual(['task one RUNNING → COMPLETED']);
  });

  it('are silent about what an attempt says of its start, and tell once that a task is to stop', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'STARTING', { note: 'pulling' });
    expect(shown(cluster)).toEqual([]);
    cluster.report(taskId, 'RUNNING');
    const cancel: CommandInput = { type: 'cancelTask', taskId, idempotency: null };
    cluster.done(cancel);
    expect(shown(cluster)).toEqual(['task task RUNNING → RUNNING (stopping)']);
    cluster.done(cancel);
    expect(shown(cluster)).toEqual([]);
  });

  it('end with an alert where nothing is tried any more', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf(ONCE));
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'FAILED');
    expect(shown(cluster)).toEqual([
      'task task ASSIGNED → PERMANENTLY_FAILED (its one attempt failed)',
      'alert task.permanently_failed ASSIGNED → PERMANENTLY_FAILED (its one attempt failed)',
    ]);
    expect(newest(cluster)[1]?.id).toBe(taskId);
  });
});

describe('events of nodes', () => {
  it('tell their changes, and alert of those that need a person', () => {
    const cluster = TestCluster.formed();
    const session = cluster.register('n1');
    expect(shown(cluster)).toEqual(['node n1 - → AVAILABLE (registered for the first time)']);
    cluster.reconcile('n1', session, []);
    expect(shown(cluster)).toEqual([]);
    const health = { type: 'nodeHealth', term: 1, node: 'n1', session } as const;
    cluster.done({ ...health, healthy: false });
    expect(newest(cluster)).toMatchObject([
      { kind: 'node', id: 'n1', oldStatus: 'AVAILABLE', newStatus: 'UNHEALTHY' },
      { kind: 'alert', id: 'n1', name: 'node.unhealthy' },
    ]);
    cluster.done({ ...health, healthy: true });
    expect(shown(cluster)).toEqual(['node n1 UNHEALTHY → AVAILABLE']);
    const pressure = { type: 'nodePressure', term: 1, node: 'n1', session } as const;
    cluster.done({ ...pressure, pressure: ['disk'] });
    expect(shown(cluster)).toEqual(['node n1 AVAILABLE → AVAILABLE (short of disk: no new work)']);
    cluster.done({ ...pressure, pressure: [] });
    expect(shown(cluster)).toEqual(['node n1 AVAILABLE → AVAILABLE (short of nothing any more)']);
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    cluster.offline('n1');
    expect(newest(cluster).map(({ kind, name, newStatus }) => [kind, name, newStatus])).toEqual([
      ['task', 'task', 'PENDING'],
      ['node', 'n1', 'OFFLINE'],
      ['alert', 'node.offline', 'OFFLINE'],
    ]);
    const removal = { node: 'n1', session, dead: false, principal: 'p', idempotency: null };
    cluster.done({ type: 'removeNode', term: 1, ...removal });
    expect(shown(cluster)).toEqual(['node n1 OFFLINE → - (removed)']);
  });
});

describe('the account of what is kept', () => {
  it('says which tasks an entry has ended and which keys it has used first, and counts them', () => {
    const cluster = TestCluster.formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    const submit: CommandInput = { type: 'submitTasks', tasks: [specOf(), specOf()], idempotency };
    const { taskIds } = cluster.done(submit) as { taskIds: readonly string[] };
    expect(rowOf(cluster, 'usedKeys')?.items).toEqual(['k']);
    expect(rowOf(cluster, 'finished')).toBeUndefined();
    cluster.run(submit);
    expect(rowOf(cluster, 'usedKeys')).toBeUndefined();
    cluster.done({ type: 'cancelTask', taskId: taskIds[0] ?? '', idempotency: null });
    expect(rowOf(cluster, 'finished')?.items).toEqual([taskIds[0]]);
    expect(cluster.state.cluster?.retained).toEqual({
      eventsFrom: 1,
      finishedFrom: 1,
      usedKeysFrom: 1,
      eventCount: 3,
      finishedTaskCount: 1,
      idempotencyKeyCount: 1,
    });
  });

  it('is begun by the first entry of a version that keeps it, in the state of an earlier one', () => {
    const cluster = TestCluster.formed();
    const stored = cluster.stored.get('cluster/cluster');
    if (stored === undefined) throw new Error('the cluster is there');
    const { retained: _, ...earlier } = stored.row as Tables['cluster'];
    cluster.stored.set('cluster/cluster', { ...stored, row: earlier });
    cluster.state = cluster.restored();
    cluster.submitOne(specOf());
    expect(cluster.state.cluster?.retained).toMatchObject({ eventsFrom: cluster.index, eventCount: 1 });
  });

  it('says nothing for a refusal', () => {
    const cluster = TestCluster.formed();
    expect(cluster.run({ type: 'cancelTask', taskId: 'none', idempotency: null }).changes).toEqual([]);
  });
});
