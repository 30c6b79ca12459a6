import { describe, expect, it } from 'vitest';

import type { OnNodeLoss, TaskSpec } from '../../../model/task.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { registrationOf, specOf } from '../testing/values.ts';

const WAITING = 'waiting for node n1, which is offline';

/** A task that runs on n1. */
function running(onNodeLoss: OnNodeLoss, changes: Partial<TaskSpec> = {}) {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  cluster.join('n2');
  const taskId = cluster.submitOne(specOf({ onNodeLoss, ...changes }));
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, 'RUNNING');
  return { cluster, taskId, task: () => cluster.task(taskId), attempt: () => cluster.attempt(taskId) };
}

function cancel(cluster: TestCluster, taskId: string): void {
  cluster.done({ type: 'cancelTask', taskId, idempotency: null });
}

describe('on_node_loss: reschedule', () => {
  it('puts a task that runs back to the queue, which is no failed attempt', () => {
    const { cluster, task, attempt } = running('reschedule', {});
    cluster.offline('n1');
    expect(task()).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling', retryCount: 0 });
    expect(attempt()).toMatchObject({
      status: 'LOST',
      error: { type: 'NodeLost', message: 'node n1 is offline' },
    });
  });

  it('is what counts for specs that were written before there was a choice', () => {
    const { onNodeLoss: _, ...earlier } = specOf();
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(earlier as TaskSpec);
    cluster.assign(taskId, 'n1');
    cluster.offline('n1');
    expect(cluster.task(taskId)).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
  });
});

describe('on_node_loss: fail', () => {
  it('ends the task with its attempt, however many its retry policy would allow', () => {
    const { cluster, task, attempt } = running('fail');
    cluster.offline('n1');
    expect(task()).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      statusReason: 'lost with its node: on_node_loss is fail',
      finishedAtMs: cluster.atMs,
    });
    expect(attempt()).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    expect(cluster.state.tasksOn('n1').size).toBe(0);
  });

  it('cancels what was to be cancelled', () => {
    const { cluster, taskId, task } = running('fail');
    cancel(cluster, taskId);
    cluster.offline('n1');
    expect(task().status).toBe('CANCELLED');
  });

  it('ends the task, too, where its node comes back and does not know it', () => {
    const { cluster, task } = running('fail');
    cluster.join('n1', { startId: 'n1-start-2' });
    expect(task()).toMatchObject({ status: 'PERMANENTLY_FAILED' });
  });

  it('leaves other failures to the retry policy', () => {
    const { cluster, taskId, task } = running('fail');
    cluster.report(taskId, 'FAILED');
    expect(task()).toMatchObject({ status: 'FAILED', retryCount: 1 });
  });
});

describe('on_node_loss: wait [WAITPROOF]', () => {
  it('stays where it is, and says so, however long its node is away', () => {
    const { cluster, taskId, task, attempt } = running('wait');
    cluster.offline('n1');
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: WAITING });
    expect(attempt()).toMatchObject({ status: 'RUNNING', node: 'n1', finishedAtMs: null });
    expect([...cluster.state.tasksOn('n1')]).toEqual([taskId]);
    expect([...cluster.state.pending()]).toEqual([]);
  });

  it('stays, too, where it has not been heard to start: it may have', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    const taskId = cluster.submitOne(specOf({ onNodeLoss: 'wait' }));
    cluster.assign(taskId, 'n1');
    cluster.offline('n1');
    expect(cluster.task(taskId)).toMatchObject({ status: 'ASSIGNED', statusReason: WAITING });
  });

  it.each([
    ['the same start', {}],
    ['another start', { startId: 'n1-start-2' }],
  ])('goes on where the node comes back with it: %s', (_what, changes) => {
    const { cluster, taskId, task, attempt } = running('wait');
    cluster.offline('n1');
    const session = cluster.register('n1', changes);
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: WAITING });
    expect(cluster.reconcile('n1', session, [taskId]).adopted).toEqual([taskId]);
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: null, attempt: 1 });
    expect(attempt().session).toBe(session);
    cluster.report(taskId, 'COMPLETED');
    expect(task()).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('is lost where the node comes back without it, and placed anew', () => {
    const { cluster, taskId, task, attempt } = running('wait');
    cluster.offline('n1');
    cluster.join('n1');
    expect(attempt()).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    expect(task()).toMatchObject({ status: 'PENDING', statusReason: 'rescheduling' });
    cluster.assign(taskId, 'n2');
  });

  it('takes the end that is reported, whatever the session', () => {
    const { cluster, taskId, task } = running('wait');
    cluster.offline('n1');
    expect(cluster.report(taskId, 'COMPLETED')).toBe(true);
    expect(task().status).toBe('COMPLETED');
  });

  it('stays RUNNING and stopping while it is cancelled and cannot be reached', () => {
    const { cluster, taskId, task } = running('wait');
    cluster.offline('n1');
    cancel(cluster, taskId);
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: 'stopping', cancelRequested: true });
    const session = cluster.register('n1');
    cluster.reconcile('n1', session, [taskId]);
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: 'stopping' });
    cluster.report(taskId, 'CANCELLED');
    expect(task().status).toBe('CANCELLED');
  });

  it('stays stopping where its node is lost while it is being stopped', () => {
    const { cluster, taskId, task } = running('wait');
    cancel(cluster, taskId);
    cluster.offline('n1');
    expect(task()).toMatchObject({ status: 'RUNNING', statusReason: 'stopping' });
  });

  it('keeps the name of its node from another data directory', () => {
    const { cluster } = running('wait');
    cluster.offline('n1');
    const other = registrationOf('n1', { incarnation: 'other', startId: 'other' });
    expect(cluster.refusal(other)).toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/its name is kept while tasks wait for it \(1\), .*--dead/) as string,
    });
  });
});
