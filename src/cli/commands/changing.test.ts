import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  for (const id of ['task-1', 'task-2']) cluster.setTask(fakeTask({ id, status: 'CANCELLED' }));
});
afterEach(() => cluster.stop());

async function run(...args: readonly string[]) {
  return await runInProcess([...args, '--peer', cluster.address]);
}

describe('retry', () => {
  it('begins each task anew, each with a key of its own', async () => {
    const { stdout, status } = await run('retry', 'task-1', 'task-2', '-o', 'name');
    expect({ stdout, status }).toEqual({ stdout: 'task-1\ntask-2\n', status: 0 });
    const requests = cluster.requests<{ id: string; idempotency_key: string }>('retryTask');
    expect(requests.map(({ id }) => id).toSorted()).toEqual(['task-1', 'task-2']);
    expect(new Set(requests.map(({ idempotency_key: key }) => key)).size).toBe(2);
    expect(cluster.tasks.get('task-1')?.status).toBe('PENDING');
  });

  it('says why one is not begun, and goes on with the others', async () => {
    cluster.before = ({ method, request }) => {
      if (method === 'retryTask' && (request as { id: string }).id === 'task-1')
        throw new JarvisError('conflict', 'task-1 is RUNNING: only what is over can be begun anew');
    };
    const { stdout, stderr, status } = await run('retry', 'task-1', 'task-2', '-o', 'name');
    expect({ stdout, status }).toEqual({ stdout: 'task-2\n', status: 1 });
    expect(stderr).toContain('only what is over can be begun anew');
  });
});

describe('update', () => {
  it('sends what is to be changed and nothing else', async () => {
    const { status } = await run('update', 'task-1', '--priority', 'high');
    expect(status).toBe(0);
    await run('update', 'task-2', '-l', 'a=1', '--label', 'b=', '--remove-label', 'c,d');
    await run('update', 'task-3', '--not-before', '2026-12-01T00:00:00Z');
    await run('update', 'task-3', '--not-before', 'now');
    expect(cluster.requests('updateTask')).toMatchObject([
      { id: 'task-1', priority: 'high', labels: {}, remove_labels: [], not_before: undefined },
      { id: 'task-2', priority: undefined, labels: { a: '1', b: '' }, remove_labels: ['c', 'd'] },
      { id: 'task-3', priority: undefined, not_before: '2026-12-01T00:00:00Z' },
      { id: 'task-3', priority: undefined, not_before: '' },
    ]);
  });

  it.each([
    [['update', 'task-1'], 'nothing is to be changed: --priority, --label, --remove-label or --not-before'],
    [['update', 'task-1', '--priority', 'urgent'], 'Allowed: critical, high, normal, low'],
    [['update', '--priority', 'low'], "missing required argument 'task'"],
  ])('%j is bad usage', async (args, message) => {
    const { stderr, status } = await run(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(cluster.requests('updateTask')).toEqual([]);
  });
});
