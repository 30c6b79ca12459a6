import { describe, expect, it } from 'vitest';

import type { SpecRow, TaskStatus } from '../../model/task.ts';
import { TestCluster } from '../../scheduler/core/testing/test-cluster.ts';
import { specOf } from '../../scheduler/core/testing/values.ts';
import type { CommandInput } from '../../scheduler/ports.ts';
import { samplesOf, testRegistry } from '../testing/samples.ts';
import { TaskMetrics } from './tasks.ts';

/** A cluster whose entries are told to a node that leads in its first term, unless it says otherwise. */
class Observed extends TestCluster {
  readonly registry = testRegistry();
  readonly metrics = new TaskMetrics(this.registry);
  isLeading = true;
  namedErrors: readonly string[] = [];

  static begin(): Observed {
    const cluster = new Observed();
    const state = () => cluster.state;
    cluster.metrics.follow({
      isLeading: () => cluster.isLeading,
      nowMs: () => cluster.atMs,
      pendingCount: () => state().pendingCount,
      unmadeCount: () => state().unmadeCount,
      statusCount: (status: TaskStatus) => state().statusCount(status),
      namedErrors: () => cluster.namedErrors,
      spec: async (id) => (cluster.stored.get(`spec/${id}`)?.row as SpecRow | undefined) ?? null,
    });
    cluster.metrics.leads(1);
    cluster.done({
      type: 'initCluster',
      term: 1,
      clusterId: 'test-cluster',
      epoch: 3,
      config: { heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 } },
    });
    cluster.join('n1');
    return cluster;
  }

  override run(input: CommandInput) {
    const result = super.run(input);
    this.metrics.applied({ term: this.term, command: { atMs: this.atMs }, changes: result.changes });
    return result;
  }

  fail(taskId: string, type: string): void {
    this.report(taskId, 'RUNNING', { startedAtMs: this.atMs });
    this.report(taskId, 'FAILED', { error: { type, message: '' } });
  }

  async samples(prefix: string) {
    return await samplesOf(this.registry, prefix);
  }
}

describe('the queue', () => {
  it('is told by the leader alone, and nothing of it stays', async () => {
    const cluster = Observed.begin();
    const [first = ''] = cluster.submit(specOf(), specOf(), specOf());
    cluster.assign(first, 'n1');
    expect(await cluster.samples('scheduler_queue_depth')).toEqual({ scheduler_queue_depth: 2 });
    expect(await cluster.samples('jarvis_tasks{')).toEqual({
      'jarvis_tasks{status="WAITING"}': 0,
      'jarvis_tasks{status="PENDING"}': 2,
      'jarvis_tasks{status="ASSIGNED"}': 1,
      'jarvis_tasks{status="RUNNING"}': 0,
      'jarvis_tasks{status="FAILED"}': 0,
    });
    cluster.isLeading = false;
    expect(await cluster.samples('scheduler_queue_depth')).toEqual({});
    expect(await cluster.samples('jarvis_tasks{')).toEqual({});
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({});
  });

  it('holds the tasks of a batch before they are made, and none that are not due', async () => {
    const cluster = Observed.begin();
    cluster.done({
      type: 'submitBatch',
      name: 'batch',
      maxParallel: null,
      maxFailures: null,
      sliceTasks: 10,
      idempotency: null,
      work: { type: 'template', template: specOf(), count: 25 },
    });
    expect(await cluster.samples('scheduler_queue_depth')).toEqual({ scheduler_queue_depth: 25 });
    cluster.submit(specOf({ notBeforeMs: cluster.atMs + 1000 }));
    expect(await cluster.samples('scheduler_queue_depth')).toEqual({ scheduler_queue_depth: 25 });
  });

  it('has an oldest task, also after it was left and entered anew', async () => {
    const cluster = Observed.begin();
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 0 });
    const first = cluster.submitOne(specOf());
    cluster.atMs += 4000;
    cluster.submitOne(specOf());
    cluster.atMs += 1000;
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 5 });
    cluster.assign(first, 'n1');
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 1 });
    cluster.offline('n1');
    cluster.atMs += 2000;
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 3 });
  });

  it('counts the wait of what it did not see come from the time that it follows the queue', async () => {
    const cluster = Observed.begin();
    const first = cluster.submitOne(specOf());
    cluster.atMs += 60_000;
    cluster.metrics.installed();
    cluster.atMs += 2000;
    cluster.submitOne(specOf());
    cluster.atMs += 1000;
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 3 });
    cluster.assign(first, 'n1');
    // Its row says when it was submitted.
    expect(await cluster.samples('jarvis_queue_wait_seconds')).toEqual({
      jarvis_queue_wait_seconds_sum: 63,
      jarvis_queue_wait_seconds_count: 1,
    });
    expect(await cluster.samples('jarvis_queue_oldest')).toEqual({ jarvis_queue_oldest_seconds: 1 });
  });
});

describe('assignments', () => {
  it('count with their waits, each once', async () => {
    const cluster = Observed.begin();
    const [first = '', second = ''] = cluster.submit(specOf(), specOf());
    cluster.atMs += 2000;
    cluster.assign(first, 'n1');
    cluster.atMs += 2000;
    cluster.assign(second, 'n1');
    expect(await cluster.samples('scheduler_tasks_scheduled')).toEqual({
      scheduler_tasks_scheduled_total: 2,
    });
    expect(await cluster.samples('jarvis_queue_wait_seconds')).toEqual({
      jarvis_queue_wait_seconds_sum: 6,
      jarvis_queue_wait_seconds_count: 2,
    });
  });

  it('take as long as their pass until it is committed', async () => {
    const cluster = Observed.begin();
    cluster.metrics.assigned(3, 20);
    expect(await cluster.samples('scheduler_latency_seconds')).toEqual({
      scheduler_latency_seconds_sum: expect.closeTo(0.06),
      scheduler_latency_seconds_count: 3,
    });
  });

  it('of other terms are counted by whoever led in those', async () => {
    const cluster = Observed.begin();
    const [first = '', second = ''] = cluster.submit(specOf(), specOf());
    // Entries of the old term, applied when another node leads already.
    cluster.isLeading = false;
    cluster.assign(first, 'n1');
    cluster.term = 2;
    cluster.assign(second, 'n1');
    expect(await cluster.samples('scheduler_tasks_scheduled')).toEqual({
      scheduler_tasks_scheduled_total: 1,
    });
  });
});

/** Of those types that have failed. */
async function failuresOf(cluster: Observed) {
  const all = await cluster.samples('task_failures_total');
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0));
}

describe('failures', () => {
  it('begin at 0, so that the first one of a type is a rise', async () => {
    const cluster = Observed.begin();
    expect(await cluster.samples('task_failures_total')).toMatchObject({
      'task_failures_total{error_type="ExitCode"}': 0,
      'task_failures_total{error_type="OutOfMemory"}': 0,
      'task_failures_total{error_type="Other"}': 0,
    });
  });

  it('count by type; what a task has made up counts as Other', async () => {
    const cluster = Observed.begin();
    cluster.namedErrors = ['DatabaseDown'];
    for (const type of ['ExitCode', 'DatabaseDown', `made-up-${'x'.repeat(200)}`, 'constructor', '']) {
      const taskId = cluster.submitOne(specOf());
      cluster.assign(taskId, 'n1');
      cluster.fail(taskId, type);
    }
    expect(await failuresOf(cluster)).toEqual({
      'task_failures_total{error_type="ExitCode"}': 1,
      'task_failures_total{error_type="DatabaseDown"}': 1,
      'task_failures_total{error_type="Other"}': 3,
    });
  });

  it('are none of a cancelled task, of one that is moved, nor of what is reported twice', async () => {
    const cluster = Observed.begin();
    const [cancelled = '', moved = '', failed = ''] = cluster.submit(specOf(), specOf(), specOf());
    for (const taskId of [cancelled, moved, failed]) cluster.assign(taskId, 'n1');
    cluster.done({ type: 'cancelTask', taskId: cancelled, idempotency: null });
    cluster.report(cancelled, 'CANCELLED');
    cluster.fail(failed, 'Signal');
    cluster.report(failed, 'FAILED');
    cluster.offline('n1');
    expect(cluster.task(moved).status).toBe('PENDING');
    expect(await failuresOf(cluster)).toEqual({
      'task_failures_total{error_type="Signal"}': 1,
    });
  });

  it('are those of a task that was lost too often, too', async () => {
    const cluster = Observed.begin();
    const taskId = cluster.submitOne(specOf());
    for (let loss = 0; loss < 5; loss += 1) {
      cluster.join('n1', { startId: `n1-start-${loss + 2}` });
      cluster.assign(taskId, 'n1');
      cluster.offline('n1');
    }
    expect(cluster.task(taskId).status).toBe('FAILED');
    expect(await failuresOf(cluster)).toEqual({
      'task_failures_total{error_type="NodeLost"}': 1,
    });
  });
});

describe('what is over', () => {
  it('counts by how it ended', async () => {
    const cluster = Observed.begin();
    const [done = '', cancelled = ''] = cluster.submit(specOf(), specOf());
    cluster.assign(done, 'n1');
    cluster.report(done, 'RUNNING', { startedAtMs: cluster.atMs });
    cluster.report(done, 'COMPLETED');
    cluster.done({ type: 'cancelTask', taskId: cancelled, idempotency: null });
    expect(await cluster.samples('jarvis_tasks_finished_total')).toEqual({
      'jarvis_tasks_finished_total{status="COMPLETED"}': 1,
      'jarvis_tasks_finished_total{status="PERMANENTLY_FAILED"}': 0,
      'jarvis_tasks_finished_total{status="CANCELLED"}': 1,
      'jarvis_tasks_finished_total{status="SKIPPED"}': 0,
    });
  });

  it('has exhausted its retries where it had some, and they were all', async () => {
    const cluster = Observed.begin();
    const failAgain = (taskId: string, type: string): void => {
      cluster.atMs += 10_000;
      cluster.done({ type: 'retryDue', term: 1, taskIds: [taskId] });
      cluster.assign(taskId, 'n1');
      cluster.fail(taskId, type);
    };
    const once = cluster.submitOne(specOf({ retry: { maxAttempts: 1 } }));
    const twice = cluster.submitOne(specOf({ retry: { maxAttempts: 2 } }));
    const refused = cluster.submitOne(specOf({ retry: { maxAttempts: 3 } }));
    for (const taskId of [once, twice, refused]) {
      cluster.assign(taskId, 'n1');
      cluster.fail(taskId, 'ExitCode');
    }
    failAgain(twice, 'ExitCode');
    failAgain(refused, 'InvalidInput');
    for (const taskId of [once, twice, refused])
      expect(cluster.task(taskId).status).toBe('PERMANENTLY_FAILED');
    expect(await cluster.samples('jarvis_tasks_retries_exhausted')).toEqual({
      jarvis_tasks_retries_exhausted_total: 1,
    });
  });
});
