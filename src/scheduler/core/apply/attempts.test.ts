import { describe, expect, it } from 'vitest';

import { limits } from '../../../lib/limits.ts';
import type { AttemptReport } from '../../../model/commands.ts';
import type { TaskStatus } from '../../../model/task.ts';
import { reportOf, specOf } from '../testing/values.ts';
import { TestCluster } from '../testing/test-cluster.ts';

function withAssigned(spec = specOf()): { cluster: TestCluster; taskId: string } {
  const cluster = TestCluster.formed();
  cluster.join('n1');
  cluster.join('n2');
  const taskId = cluster.submitOne(spec);
  cluster.atMs += 100;
  cluster.assign(taskId, 'n1');
  return { cluster, taskId };
}

/** Fails it once more and waits out the delay. */
function failAndRetry(cluster: TestCluster, taskId: string): void {
  cluster.report(taskId, 'FAILED');
  cluster.atMs = cluster.task(taskId).retryAtMs ?? cluster.atMs;
  cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
  cluster.assign(taskId, 'n1');
}

describe('assign', () => {
  it('begins an attempt with the next assignment number', () => {
    const { cluster, taskId } = withAssigned();
    expect(cluster.task(taskId)).toMatchObject({
      status: 'ASSIGNED',
      attempt: 1,
      scheduledAtMs: cluster.atMs,
    });
    expect(cluster.attempt(taskId)).toMatchObject({
      attempt: 1,
      assignment: 1,
      node: 'n1',
      status: 'ASSIGNED',
    });
    const other = cluster.submitOne(specOf());
    cluster.assign(other, 'n2');
    expect(cluster.attempt(other).assignment).toBe(2);
    expect(cluster.state.allocated('n1')).toEqual(specOf().resources);
    expect([...cluster.state.tasksOn('n1')]).toEqual([taskId]);
  });

  it('refuses each assignment on its own, saying what has changed', () => {
    const cluster = TestCluster.formed();
    const session = cluster.join('n1');
    const registering = cluster.register('n2');
    const [a, b, c, d] = cluster.submit(specOf(), specOf(), specOf(), specOf()).map(String);
    cluster.submit(specOf({ resources: { cpuMillis: 3000, memoryBytes: 1 } }));
    const big = [...cluster.state.pending()].at(-1)?.id ?? '';
    const assignments = [
      { taskId: a ?? '', node: 'n1', session },
      { taskId: a ?? '', node: 'n1', session },
      { taskId: big, node: 'n1', session },
      { taskId: b ?? '', node: 'n1', session },
      { taskId: c ?? '', node: 'n1', session: session - 1 },
      { taskId: c ?? '', node: 'n2', session: registering },
      { taskId: d ?? '', node: 'nowhere', session },
      { taskId: 'task-none', node: 'n1', session },
    ];
    const result = cluster.done({ type: 'assign', term: 1, planIndex: cluster.index, assignments });
    expect(result).toEqual({
      accepted: [a, big],
      refused: [
        { taskId: a, reason: 'the task is ASSIGNED' },
        { taskId: b, reason: 'node n1 lacks 1000m cpu' },
        { taskId: c, reason: `session ${session - 1} of node n1 is over` },
        { taskId: c, reason: 'node n2 is registering' },
        { taskId: d, reason: 'node nowhere is gone' },
        { taskId: 'task-none', reason: 'the task is gone' },
      ],
    });
  });

  it('keeps the newest attempts only', () => {
    const { cluster, taskId } = withAssigned(specOf({ retry: { maxAttempts: 100, maxBackoff: 1 } }));
    for (let n = 1; n < limits.attemptsKept + 3; n += 1) failAndRetry(cluster, taskId);
    const { attempt, attempts } = cluster.task(taskId);
    expect(attempt).toBe(limits.attemptsKept + 3);
    expect(attempts.map((one) => one.attempt)).toEqual(
      Array.from({ length: limits.attemptsKept }, (_, at) => at + 4),
    );
  });
});

describe('reportAttempts', () => {
  it('leads from start to completion, with its times', () => {
    const { cluster, taskId } = withAssigned();
    const assignedAtMs = cluster.atMs;
    cluster.report(taskId, 'STARTING');
    expect(cluster.attempt(taskId).status).toBe('STARTING');
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
    cluster.atMs += 50;
    cluster.report(taskId, 'RUNNING', { startedAtMs: assignedAtMs + 20 });
    expect(cluster.task(taskId)).toMatchObject({ status: 'RUNNING', startedAtMs: assignedAtMs + 20 });
    cluster.atMs += 50;
    cluster.report(taskId, 'COMPLETED', { exitCode: 0, result: { rows: 3 }, logTail: 'bye' });
    expect(cluster.task(taskId)).toMatchObject({
      status: 'COMPLETED',
      result: { rows: 3 },
      scheduledAtMs: assignedAtMs,
      startedAtMs: assignedAtMs + 20,
      finishedAtMs: assignedAtMs + 100,
    });
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'COMPLETED', exitCode: 0, logTail: '' });
    expect(cluster.state.tasksOn('n1').size).toBe(0);
    expect(cluster.state.allocated('n1')).toEqual({ cpuMillis: 0, memoryBytes: 0 });
  });

  it('keeps the times of a clock that is off between those of the cluster', () => {
    const { cluster, taskId } = withAssigned();
    const assignedAtMs = cluster.atMs;
    cluster.atMs += 10;
    cluster.report(taskId, 'RUNNING', { startedAtMs: 5 });
    cluster.report(taskId, 'COMPLETED', { atMs: 9e15 });
    expect(cluster.task(taskId)).toMatchObject({ startedAtMs: assignedAtMs, finishedAtMs: cluster.atMs });
  });

  const reports: readonly AttemptReport['status'][] = [
    'STARTING',
    'RUNNING',
    'COMPLETED',
    'FAILED',
    'LOST',
    'CANCELLED',
  ];
  const outcomes: Readonly<Record<(typeof reports)[number], readonly TaskStatus[]>> = {
    STARTING: ['ASSIGNED', 'RUNNING'],
    RUNNING: ['RUNNING', 'RUNNING'],
    COMPLETED: ['COMPLETED', 'COMPLETED'],
    FAILED: ['FAILED', 'FAILED'],
    LOST: ['PENDING', 'PENDING'],
    CANCELLED: ['PENDING', 'PENDING'],
  };
  it.each(reports)('%s: what it makes of a task that is assigned, or runs', (status) => {
    const [fromAssigned, fromRunning] = outcomes[status];
    const assigned = withAssigned();
    expect(assigned.cluster.report(assigned.taskId, status)).toBe(true);
    expect(assigned.cluster.task(assigned.taskId).status).toBe(fromAssigned);
    const running = withAssigned();
    running.cluster.report(running.taskId, 'RUNNING');
    expect(running.cluster.report(running.taskId, status)).toBe(
      status !== 'STARTING' && status !== 'RUNNING',
    );
    expect(running.cluster.task(running.taskId).status).toBe(fromRunning);
  });

  it('say what a start does, until it runs', () => {
    const { cluster, taskId } = withAssigned();
    const reason = () => cluster.task(taskId).statusReason;
    expect(cluster.report(taskId, 'STARTING')).toBe(true);
    expect(reason()).toBeNull();
    expect(cluster.report(taskId, 'STARTING', { note: 'pulling a: 1 %' })).toBe(true);
    expect(cluster.report(taskId, 'STARTING', { note: 'pulling a: 1 %' })).toBe(false);
    expect(reason()).toBe('pulling a: 1 %');
    cluster.report(taskId, 'STARTING', { note: '€'.repeat(limits.errorMessageBytes) });
    expect(Buffer.byteLength(reason() ?? '')).toBeLessThanOrEqual(limits.errorMessageBytes);
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
    expect(cluster.report(taskId, 'RUNNING')).toBe(true);
    expect(reason()).toBeNull();
    expect(cluster.report(taskId, 'STARTING', { note: 'late' })).toBe(false);
    expect(reason()).toBeNull();
  });

  it('say what is being done to end the attempt, for as long as it runs', () => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'RUNNING');
    expect(cluster.attempt(taskId)).not.toHaveProperty('stopping');
    cluster.atMs += 1000;
    const sinceMs = cluster.atMs - 10;
    const stopping = { reason: 'timeout', sinceMs, killAtMs: sinceMs + 5000 } as const;
    expect(cluster.report(taskId, 'RUNNING', { stopping })).toBe(true);
    expect(cluster.report(taskId, 'RUNNING', { stopping })).toBe(false);
    expect(cluster.report(taskId, 'RUNNING')).toBe(false);
    expect(cluster.attempt(taskId).stopping).toEqual(stopping);
    const sooner = { ...stopping, killAtMs: sinceMs };
    expect(cluster.report(taskId, 'RUNNING', { stopping: sooner })).toBe(true);
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'RUNNING', stopping: sooner });
    cluster.report(taskId, 'FAILED', { error: { type: 'Timeout', message: '' } });
    expect(cluster.attempt(taskId)).not.toHaveProperty('stopping');
  });

  it('keep times of a clock that is ahead within what can be', () => {
    const { cluster, taskId } = withAssigned();
    const stopping = { reason: 'stopped', sinceMs: 2 ** 50, killAtMs: 2 ** 50 + 7 } as const;
    cluster.report(taskId, 'RUNNING', { stopping });
    const { atMs } = cluster;
    expect(cluster.attempt(taskId).stopping).toEqual({
      reason: 'stopped',
      sinceMs: atMs,
      killAtMs: atMs + 7,
    });
  });

  it('leave a task that is being stopped to say so', () => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'STARTING', { note: 'pulling' });
    cluster.done({ type: 'cancelTask', taskId, idempotency: null });
    expect(cluster.report(taskId, 'STARTING', { note: 'still pulling' })).toBe(false);
    expect(cluster.task(taskId).statusReason).toBe('stopping');
    cluster.report(taskId, 'RUNNING');
    expect(cluster.task(taskId)).toMatchObject({ status: 'RUNNING', statusReason: 'stopping' });
  });

  it('keep the image that the attempt ran, once it is known', () => {
    const { cluster, taskId } = withAssigned();
    expect(cluster.attempt(taskId).imageDigest).toBeNull();
    cluster.report(taskId, 'RUNNING', { imageDigest: 'a@sha256:1' });
    expect(cluster.attempt(taskId).imageDigest).toBe('a@sha256:1');
    cluster.report(taskId, 'LOST');
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'LOST', imageDigest: 'a@sha256:1' });
    cluster.report(taskId, 'COMPLETED', { imageDigest: 'a@sha256:2' });
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'COMPLETED', imageDigest: 'a@sha256:2' });
  });

  it('may come from before there were notes and images', () => {
    const { cluster, taskId } = withAssigned();
    const earlier = { note: undefined, imageDigest: undefined } as unknown as Partial<AttemptReport>;
    cluster.report(taskId, 'STARTING', earlier);
    cluster.report(taskId, 'RUNNING', earlier);
    cluster.report(taskId, 'COMPLETED', earlier);
    expect(cluster.task(taskId)).toMatchObject({ status: 'COMPLETED', statusReason: null });
    expect(cluster.attempt(taskId).imageDigest).toBeNull();
  });

  it('does nothing a second time, nor after the end', () => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'COMPLETED', { result: 1 });
    const finished = cluster.task(taskId);
    for (const status of reports) expect(cluster.report(taskId, status, { result: 2 })).toBe(false);
    expect(cluster.task(taskId)).toBe(finished);
  });

  it('ignores reports of an older assignment, of another node, and of what there is not', () => {
    const { cluster, taskId } = withAssigned();
    failAndRetry(cluster, taskId);
    const session = cluster.state.nodes.get('n1')?.session ?? 0;
    const at = { taskId, assignment: 1, atMs: cluster.atMs };
    const send = (node: string, report: AttemptReport) =>
      cluster.done({ type: 'reportAttempts', node, session, reports: [report] });
    expect(send('n1', reportOf(at, 'COMPLETED'))).toEqual({ taken: 0 });
    expect(send('n2', reportOf({ ...at, assignment: 2 }, 'COMPLETED'))).toEqual({ taken: 0 });
    expect(send('n1', reportOf({ ...at, taskId: 'task-none' }, 'COMPLETED'))).toEqual({ taken: 0 });
    expect(cluster.task(taskId).status).toBe('ASSIGNED');
  });

  it('takes the end, but not the progress, that a session reports which is over [NEWER]', () => {
    const { cluster, taskId } = withAssigned();
    const { assignment, session } = cluster.attempt(taskId);
    cluster.register('n1', { startId: 'n1-start-2' });
    const at = { taskId, assignment, atMs: cluster.atMs };
    const send = (status: AttemptReport['status']) =>
      cluster.done({ type: 'reportAttempts', node: 'n1', session, reports: [reportOf(at, status)] });
    expect(send('RUNNING')).toEqual({ taken: 0 });
    expect(send('COMPLETED')).toEqual({ taken: 1 });
    expect(cluster.task(taskId).status).toBe('COMPLETED');
  });

  it('lets work that was given up as lost prove complete until it is assigned anew [NEWER]', () => {
    const { cluster, taskId } = withAssigned();
    cluster.offline('n1');
    expect(cluster.task(taskId).status).toBe('PENDING');
    expect(cluster.report(taskId, 'FAILED')).toBe(false);
    expect(cluster.report(taskId, 'RUNNING')).toBe(false);
    expect(cluster.report(taskId, 'COMPLETED', { result: 7 })).toBe(true);
    expect(cluster.task(taskId)).toMatchObject({ status: 'COMPLETED', result: 7, statusReason: null });
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'COMPLETED', error: null });
  });
});

describe('failures', () => {
  it('are retried after a delay that grows, until the attempts are used up', () => {
    const { cluster, taskId } = withAssigned();
    const delays: number[] = [];
    for (let n = 1; n < 3; n += 1) {
      cluster.report(taskId, 'FAILED', { exitCode: 1 });
      const task = cluster.task(taskId);
      expect(task).toMatchObject({ status: 'FAILED', retryCount: n, attempt: n, finishedAtMs: null });
      delays.push((task.retryAtMs ?? 0) - cluster.atMs);
      cluster.atMs = task.retryAtMs ?? 0;
      cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
      cluster.assign(taskId, 'n2');
    }
    expect(delays).toEqual([2000, 4000]);
    cluster.report(taskId, 'FAILED');
    expect(cluster.task(taskId)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      statusReason: 'all 3 attempts failed',
      finishedAtMs: cluster.atMs,
      retryCount: 2,
      attempt: 3,
    });
  });

  it.each([
    ['InvalidInput', 'PERMANENTLY_FAILED'],
    ['ImageNotFound', 'PERMANENTLY_FAILED'],
    ['ImagePullFailed', 'FAILED'],
    ['ConnectionTimeout', 'FAILED'],
    ['NeverHeardOf', 'FAILED'],
    ['__proto__', 'FAILED'],
  ] as const)('of type %s make the task %s', (type, status) => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'FAILED', { error: { type, message: '' } });
    expect(cluster.task(taskId).status).toBe(status);
  });

  it('keep the end of the output, within its bound', () => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'FAILED', { logTail: `${'€'.repeat(2000)}end` });
    const { logTail } = cluster.attempt(taskId);
    expect(Buffer.byteLength(logTail)).toBe(4095);
    expect(logTail.endsWith('€end')).toBe(true);
  });

  it('do not count losses, five of which in a row are one', () => {
    const { cluster, taskId } = withAssigned(specOf({ retry: { maxAttempts: 2 } }));
    for (let loss = 1; loss < 5; loss += 1) {
      cluster.report(taskId, 'LOST');
      expect(cluster.task(taskId)).toMatchObject({
        status: 'PENDING',
        statusReason: 'rescheduling',
        retryCount: 0,
        consecutiveLosses: loss,
      });
      cluster.assign(taskId, 'n1');
    }
    cluster.report(taskId, 'LOST');
    expect(cluster.task(taskId)).toMatchObject({ status: 'FAILED', retryCount: 1, consecutiveLosses: 0 });
    expect(cluster.attempt(taskId)).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    cluster.report(taskId, 'COMPLETED');
    expect(cluster.task(taskId)).toMatchObject({ status: 'COMPLETED', retryAtMs: null });
    expect(cluster.state.nextRetryAtMs()).toBeNull();
  });

  it('begin the count of losses anew', () => {
    const { cluster, taskId } = withAssigned();
    cluster.report(taskId, 'LOST');
    cluster.assign(taskId, 'n1');
    failAndRetry(cluster, taskId);
    expect(cluster.task(taskId).consecutiveLosses).toBe(0);
  });
});
