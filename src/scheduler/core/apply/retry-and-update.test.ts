import { beforeEach, describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { TaskChanges } from '../../../model/commands.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { specOf } from '../testing/values.ts';

let cluster: TestCluster;

beforeEach(() => {
  cluster = TestCluster.formed();
  cluster.join('n1');
});

function retry(taskId: string, key: string | null = null) {
  const idempotency = key === null ? null : { key, requestDigest: taskId };
  return { type: 'retryTask', taskId, specId: taskId, idempotency } as const;
}

function update(taskId: string, changes: TaskChanges, key: string | null = null) {
  const idempotency = key === null ? null : { key, requestDigest: JSON.stringify(changes) };
  return { type: 'updateTask', taskId, specId: taskId, changes, idempotency } as const;
}

function failed(): string {
  const taskId = cluster.submitOne(specOf({ retry: { maxAttempts: 2, backoffBase: 1 } }));
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'RUNNING');
    cluster.report(taskId, 'FAILED', { exitCode: 3 });
    cluster.atMs += 10_000;
    if (attempt === 1) cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
  }
  return taskId;
}

describe('a retry by a person', () => {
  it('begins a failed task anew with all its retries; attempts go on counting and stay on record', () => {
    const taskId = failed();
    const before = cluster.task(taskId);
    expect(before).toMatchObject({ status: 'PERMANENTLY_FAILED', attempt: 2, retryCount: 1 });
    expect(cluster.done(retry(taskId))).toEqual({ taskId });
    expect(cluster.task(taskId)).toEqual({
      ...before,
      status: 'PENDING',
      statusReason: null,
      retryCount: 0,
      result: null,
      scheduledAtMs: null,
      startedAtMs: null,
      finishedAtMs: null,
    });
    expect([...cluster.state.pending()].map(({ id }) => id)).toEqual([taskId]);
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'FAILED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'FAILED', attempt: 3, retryCount: 1 });
    expect(cluster.task(taskId).attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  it('also of one that was cancelled, which is not stopped again', () => {
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    cluster.done({ type: 'cancelTask', taskId, idempotency: null });
    cluster.report(taskId, 'CANCELLED');
    cluster.done(retry(taskId));
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'COMPLETED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'COMPLETED', attempt: 2, cancelRequested: false });
    // And of one that completed: a person may want it once more.
    cluster.done(retry(taskId));
    expect(cluster.task(taskId).status).toBe('PENDING');
  });

  it('is refused with the reason where the task is not over, or is none', () => {
    const taskId = cluster.submitOne(specOf());
    expect(cluster.refusal(retry(taskId))).toEqual({
      type: 'refused',
      code: 'conflict',
      message: `${taskId} is PENDING: only what is over can be begun anew`,
    });
    expect(cluster.refusal(retry('task-none')).code).toBe('not_found');
    const over = failed();
    expect(cluster.refusal({ ...retry(over), specId: 'another' }).message).toContain('its spec is gone');
  });

  it('happens once for a key', () => {
    const taskId = failed();
    const first = cluster.done(retry(taskId, 'k'));
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'COMPLETED');
    expect(cluster.done(retry(taskId, 'k'))).toEqual(first);
    expect(cluster.task(taskId).status).toBe('COMPLETED');
  });

  it('survives a restart: its spec is in memory again', () => {
    const taskId = failed();
    cluster.done(retry(taskId));
    cluster.state = cluster.restored((rows) => rows.toReversed());
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'FAILED');
    expect(cluster.task(taskId).status).toBe('FAILED');
  });
});

describe('a change of a task', () => {
  it('moves it in the queue: among those of its new priority it has its old place', () => {
    const [first = '', second = '', third = ''] = cluster.submit(specOf(), specOf(), specOf());
    cluster.done(update(third, { priority: 'high' }));
    cluster.done(update(first, { priority: 'low' }));
    expect([...cluster.state.pending()].map(({ id }) => id)).toEqual([third, second, first]);
    cluster.done(update(first, { priority: 'normal' }));
    expect([...cluster.state.pending()].map(({ id }) => id)).toEqual([third, first, second]);
  });

  it('sets labels and takes some away; the spec stays as it was submitted', () => {
    const taskId = cluster.submitOne(
      specOf({
        labels: [
          ['a', '1'],
          ['b', '2'],
        ],
      }),
    );
    cluster.done(
      update(taskId, {
        labels: [
          ['b', null],
          ['c', '3'],
          ['d', null],
        ],
      }),
    );
    expect(cluster.task(taskId)).toMatchObject({
      labels: [
        ['a', '1'],
        ['c', '3'],
      ],
      priority: 'normal',
    });
    cluster.done(
      update(taskId, {
        labels: [
          ['a', '2'],
          ['B', '0'],
        ],
      }),
    );
    expect(cluster.task(taskId).labels).toEqual([
      ['B', '0'],
      ['a', '2'],
      ['c', '3'],
    ]);
    expect(cluster.stored.get(`spec/${taskId}`)?.row).toMatchObject({
      spec: {
        labels: [
          ['a', '1'],
          ['b', '2'],
        ],
      },
    });
  });

  it('is refused where there would be too many labels', () => {
    const labels = Array.from({ length: limits.labels }, (_, at) => [`k${at}`, ''] as const);
    const taskId = cluster.submitOne(specOf({ labels }));
    expect(cluster.refusal(update(taskId, { labels: [['one-more', '']] })).message).toContain('at most 64');
    cluster.done(
      update(taskId, {
        labels: [
          ['k0', null],
          ['one-more', ''],
        ],
      }),
    );
  });

  it('takes it out of the queue until then, and puts it back', () => {
    const taskId = cluster.submitOne(specOf());
    const queued = (): readonly string[] => [...cluster.state.pending()].map(({ id }) => id);
    const notBeforeMs = cluster.atMs + 5000;
    cluster.done(update(taskId, { notBeforeMs }));
    expect(queued()).toEqual([]);
    expect(cluster.state.nextRetryAtMs()).toBe(notBeforeMs);
    expect(cluster.restored().nextRetryAtMs()).toBe(notBeforeMs);
    cluster.done(update(taskId, { notBeforeMs: null }));
    expect(queued()).toEqual([taskId]);
    cluster.done(update(taskId, { notBeforeMs: cluster.atMs - 1 }));
    expect(queued()).toEqual([taskId]);
    expect(cluster.state.nextRetryAtMs()).toBeNull();
  });

  it('goes for a retry, too: it is due at the later of both', () => {
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'FAILED');
    const retryAtMs = cluster.state.nextRetryAtMs() ?? 0;
    cluster.done(update(taskId, { notBeforeMs: retryAtMs + 5000 }));
    expect(cluster.state.nextRetryAtMs()).toBe(retryAtMs);
    cluster.atMs = retryAtMs;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
    expect(cluster.task(taskId).status).toBe('PENDING');
    expect([...cluster.state.pending()]).toEqual([]);
    cluster.atMs += 5000;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
    expect([...cluster.state.pending()]).toHaveLength(1);
  });

  it('is for what waits for its turn, a retry too; what runs or is over stays as it is', () => {
    const taskId = cluster.submitOne(specOf());
    cluster.assign(taskId, 'n1');
    const refused = cluster.refusal(update(taskId, { priority: 'low' }));
    expect(refused).toMatchObject({
      code: 'conflict',
      message: `${taskId} is ASSIGNED: it can be changed only while it waits for its turn`,
    });
    cluster.report(taskId, 'FAILED');
    cluster.done(update(taskId, { priority: 'critical' }));
    cluster.atMs += 10_000;
    cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', priority: 'critical' });
    cluster.done({ type: 'cancelTask', taskId, idempotency: null });
    expect(cluster.refusal(update(taskId, { priority: 'low' })).message).toContain('is CANCELLED');
    expect(cluster.refusal(update('task-none', {})).code).toBe('not_found');
  });

  it('happens once for a key', () => {
    const taskId = cluster.submitOne(specOf());
    cluster.done(update(taskId, { priority: 'high' }, 'k'));
    cluster.done(update(taskId, { priority: 'low' }, 'l'));
    cluster.done(update(taskId, { priority: 'high' }, 'k'));
    expect(cluster.task(taskId).priority).toBe('low');
    expect(cluster.refusal(update(taskId, { priority: 'normal' }, 'k')).code).toBe('idempotency_conflict');
  });
});
