import { afterEach, beforeEach, expect, it } from 'vitest';

import { Member, Node } from '../../generated/cluster.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.setTask(fakeTask({ id: 'task-1', status: 'PENDING' }));
  cluster.nodes = [Node.create({ name: 'n1', status: 'AVAILABLE' })];
  cluster.status = { ...cluster.status, members: [Member.create({ name: 'n1', active: true })] };
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

const READS = [
  'ls',
  'get task-1',
  'describe task-1',
  'explain task-1',
  'batch ls',
  'batch get batch-a',
  'dag ls',
  'dag get dag-a',
  'dag graph dag-a',
  'node ls',
  'node get n1',
  'top',
  'cluster status',
  'cluster members',
  'config get',
] as const;

it.each(READS)('%s --stale asks one node alone, and says on stderr how old its answer is', async (line) => {
  const { stderr, status } = await runInProcess([...line.split(' '), '--stale', ...peer]);
  expect({ stderr, status }).toEqual({
    stderr: `jarvisctl: stale: what ${cluster.address} knew at index 41, 1.3 s old at most\n`,
    status: 0,
  });
  expect(cluster.calls).not.toEqual([]);
  for (const { request } of cluster.calls) expect(request).toMatchObject({ consistency: 'stale' });
});

it.each(READS)('%s asks the leader otherwise', async (line) => {
  const { stderr } = await runInProcess([...line.split(' '), ...peer]);
  expect(stderr).toBe('');
  for (const { request } of cluster.calls) expect(request).not.toMatchObject({ consistency: 'stale' });
});

it('says so where the node does not know how old it is', async () => {
  cluster.freshness = { index: 7, ageMs: null };
  const { stderr } = await runInProcess(['ls', '--stale', ...peer]);
  expect(stderr).toContain('at index 7, of unknown age\n');
});

it('is for reads that end: what follows, waits or changes something has no such option', async () => {
  for (const line of ['events', 'logs task-1', 'wait task-1', 'cancel task-1', 'plan -f x.yaml']) {
    const { stderr, status } = await runInProcess([...line.split(' '), '--stale', ...peer]);
    expect(stderr).toContain("unknown option '--stale'");
    expect(status).toBe(2);
  }
});
