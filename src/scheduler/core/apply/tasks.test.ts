import { describe, expect, it } from 'vitest';

import { decodeId, idKey } from '../../../lib/ids.ts';
import type { CommandInput } from '../../ports.ts';
import { specOf } from '../testing/values.ts';
import { TestCluster } from '../testing/test-cluster.ts';

function cancel(taskId: string): CommandInput {
  return { type: 'cancelTask', taskId, idempotency: null };
}

describe('initCluster', () => {
  const init = {
    type: 'initCluster',
    term: 1,
    clusterId: 'c',
    epoch: 1,
    config: { heartbeat: { intervalMs: 1, warningMs: 2, timeoutMs: 3 } },
  } as const;

  it('happens once', () => {
    const cluster = TestCluster.formed();
    expect(cluster.refusal(init).code).toBe('conflict');
    expect(cluster.state.cluster?.clusterId).toBe('test-cluster');
  });

  it('comes before all else', () => {
    const cluster = new TestCluster();
    expect(cluster.refusal({ type: 'submitTasks', tasks: [], idempotency: null }).code).toBe('conflict');
    expect(cluster.done(init)).toBeNull();
  });

  it('is poison with an epoch that no id can hold, and changes nothing', () => {
    const cluster = new TestCluster();
    const result = cluster.run({ ...init, epoch: 2 ** 23 });
    expect(result).toMatchObject({
      outcome: { type: 'refused', code: 'internal' },
      poisoned: true,
      changes: [],
    });
    expect(cluster.state.cluster).toBeNull();
  });
});

describe('time', () => {
  it('follows the stamps of leaders and never goes back', () => {
    const cluster = TestCluster.formed();
    cluster.atMs = 5_000_000;
    cluster.submitOne(specOf());
    expect(cluster.state.cluster?.timeMs).toBe(5_000_000);
    cluster.atMs = 10;
    const taskId = cluster.submitOne(specOf());
    expect(cluster.task(taskId).createdAtMs).toBe(5_000_000);
    expect(cluster.state.cluster?.timeMs).toBe(5_000_000);
  });

  it('does not move with a refusal', () => {
    const cluster = TestCluster.formed();
    cluster.atMs += 1000;
    cluster.refusal({ type: 'cancelTask', taskId: 'task-none', idempotency: null });
    expect(cluster.state.cluster?.timeMs).toBe(cluster.atMs - 1000);
  });
});

describe('submitTasks', () => {
  it('makes pending tasks whose ids tell where they come from', () => {
    const cluster = TestCluster.formed();
    const ids = cluster.submit(specOf({ name: 'a' }), specOf({ name: 'b', priority: 'high' }));
    const positions = ids.map((id) => decodeId('task', id, idKey('test-cluster')));
    expect(positions).toEqual([
      { epoch: 3, index: 2, position: 0 },
      { epoch: 3, index: 2, position: 1 },
    ]);
    expect(ids.map((id) => cluster.task(id))).toMatchObject([
      { name: 'a', status: 'PENDING', priority: 'normal', attempt: 0, createdIndex: 2, createdPosition: 0 },
      { name: 'b', status: 'PENDING', priority: 'high', attempt: 0, createdIndex: 2, createdPosition: 1 },
    ]);
    expect(cluster.state.specs.get(ids[0] ?? '')?.spec.name).toBe('a');
  });

  it('answers a repeated key with the first answer, and refuses it for another request', () => {
    const cluster = TestCluster.formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    const submit = { type: 'submitTasks', tasks: [specOf()], idempotency } as const;
    const first = cluster.done(submit);
    expect(cluster.done(submit)).toEqual(first);
    expect(cluster.state.tasks.size).toBe(1);
    const other = { ...submit, idempotency: { key: 'k', requestDigest: 'e' } };
    expect(cluster.refusal(other).code).toBe('idempotency_conflict');
    expect(cluster.state.tasks.size).toBe(1);
  });
});

describe('a task that no node of today could hold', () => {
  const huge = specOf({ resources: { cpuMillis: 64_000, memoryBytes: 1 } });

  it('is accepted, and says what the nearest node lacks', () => {
    const cluster = TestCluster.formed();
    expect(cluster.task(cluster.submitOne(huge)).statusReason).toBe('no node is registered yet');
    cluster.join('n1');
    cluster.join('n2', { capacity: { cpuMillis: 32_000, memoryBytes: 1024 } });
    const { status, statusReason } = cluster.task(cluster.submitOne(huge));
    expect(status).toBe('PENDING');
    expect(statusReason).toBe('no node is large enough; the nearest: node n2 lacks 32000m cpu');
  });

  it('is not one that only has to wait for others', () => {
    const cluster = TestCluster.formed();
    cluster.join('n1');
    expect(cluster.task(cluster.submitOne(specOf())).statusReason).toBeNull();
  });
});

describe('cancelTask', () => {
  it('ends at once what waits', () => {
    const cluster = TestCluster.formed();
    const taskId = cluster.submitOne(specOf());
    cluster.atMs += 5;
    expect(cluster.done(cancel(taskId))).toEqual({ taskId });
    expect(cluster.task(taskId)).toMatchObject({ status: 'CANCELLED', finishedAtMs: cluster.atMs });
    expect([...cluster.state.pending()]).toEqual([]);
    expect(cluster.state.tasks.size + cluster.state.specs.size).toBe(0);
  });

  it('ends at once what waits for a retry', () => {
    const cluster = TestCluster.formed();
    const taskId = cluster.submitOne(specOf());
    cluster.join('n1');
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'FAILED');
    cluster.done(cancel(taskId));
    expect(cluster.task(taskId)).toMatchObject({ status: 'CANCELLED', retryAtMs: null });
    expect(cluster.state.nextRetryAtMs()).toBeNull();
  });

  it.each(['ASSIGNED', 'RUNNING'] as const)(
    'asks the node where it is %s, which has the last word',
    (status) => {
      const cluster = TestCluster.formed();
      const taskId = cluster.submitOne(specOf());
      cluster.join('n1');
      cluster.assign(taskId, 'n1');
      if (status === 'RUNNING') cluster.report(taskId, 'RUNNING');
      cluster.done(cancel(taskId));
      expect(cluster.task(taskId)).toMatchObject({ status, cancelRequested: true, statusReason: 'stopping' });
      expect(cluster.done(cancel(taskId))).toEqual({ taskId });
      cluster.report(taskId, 'RUNNING');
      expect(cluster.task(taskId)).toMatchObject({ status: 'RUNNING', statusReason: 'stopping' });
      cluster.report(taskId, 'CANCELLED', { signal: 'SIGTERM' });
      expect(cluster.task(taskId)).toMatchObject({ status: 'CANCELLED', statusReason: null });
      expect(cluster.attempt(taskId)).toMatchObject({ status: 'CANCELLED', signal: 'SIGTERM' });
      expect(cluster.done(cancel(taskId))).toEqual({ taskId });
    },
  );

  it.each([
    ['COMPLETED', 'COMPLETED'],
    ['FAILED', 'CANCELLED'],
    ['LOST', 'CANCELLED'],
  ] as const)('while it is stopped, an attempt that is %s makes the task %s', (attempt, task) => {
    const cluster = TestCluster.formed();
    const taskId = cluster.submitOne(specOf());
    cluster.join('n1');
    cluster.assign(taskId, 'n1');
    cluster.done(cancel(taskId));
    cluster.report(taskId, attempt);
    expect(cluster.task(taskId).status).toBe(task);
    expect(cluster.attempt(taskId).status).toBe(attempt);
  });

  it('refuses what has ended otherwise, naming how, also when only the store knows it', () => {
    const cluster = TestCluster.formed();
    const taskId = cluster.submitOne(specOf());
    cluster.join('n1');
    cluster.assign(taskId, 'n1');
    cluster.report(taskId, 'COMPLETED');
    expect(cluster.state.tasks.has(taskId)).toBe(false);
    expect(cluster.refusal(cancel(taskId))).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('COMPLETED') as string,
    });
    expect(cluster.refusal(cancel('task-none')).code).toBe('not_found');
  });

  it('remembers only what succeeded', () => {
    const cluster = TestCluster.formed();
    const idempotency = { key: 'k', requestDigest: 'd' };
    const request = { type: 'cancelTask', taskId: 'task-none', idempotency } as const;
    cluster.refusal(request);
    expect(cluster.stored.has('idempotency/k')).toBe(false);
    const taskId = cluster.submitOne(specOf());
    cluster.done({ ...request, taskId });
    expect(cluster.stored.has('idempotency/k')).toBe(true);
  });
});

describe('retryDue', () => {
  it('queues what is due by the time of the cluster, and nothing else', () => {
    const cluster = TestCluster.formed();
    const [due, later, pending] = cluster.submit(specOf(), specOf({ retry: { backoffBase: 9 } }), specOf());
    cluster.join('n1');
    for (const taskId of [due, later]) {
      cluster.assign(taskId ?? '', 'n1');
      cluster.report(taskId ?? '', 'FAILED');
    }
    const retry = {
      type: 'retryDue',
      term: 1,
      taskIds: [due, later, pending, 'task-none'].map(String),
    } as const;
    cluster.atMs += 1999;
    expect(cluster.done(retry)).toEqual({ queued: [] });
    cluster.atMs += 1;
    expect([...cluster.state.retriesDue(cluster.atMs)].map(({ id }) => id)).toEqual([due]);
    expect(cluster.done(retry)).toEqual({ queued: [due] });
    expect(cluster.task(due ?? '')).toMatchObject({ status: 'PENDING', retryAtMs: null, statusReason: null });
    expect(cluster.task(later ?? '').status).toBe('FAILED');
    expect(cluster.done(retry)).toEqual({ queued: [] });
  });
});

describe('decisions of a leader', () => {
  it.each([
    { type: 'assign', planIndex: 1, assignments: [] },
    { type: 'retryDue', taskIds: [] },
    { type: 'nodeHealth', node: 'n1', session: 1, healthy: true },
    { type: 'nodeOffline', node: 'n1', session: 1 },
  ] as const)('$type is refused in an entry of another term', (decision) => {
    const cluster = TestCluster.formed();
    cluster.term = 2;
    expect(cluster.refusal({ ...decision, term: 1 }).code).toBe('stale_decision');
  });
});
