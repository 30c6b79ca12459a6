/** Nodes come with a queue and go with it, by the provider `process`, while leaders are killed half-way. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import type { NodeJson, TaskJson } from '../support/api.ts';
import { killLeaderIn, scalingStatus, setAutoscaling, TWO_MORE_PROCESSES } from '../support/autoscaler.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

const TASKS = 60;
const LONG_MS = 120_000;
/** The leader that is killed is back before it is taken for gone: what ended there meanwhile is told of, and not done again. */
const HEARTBEAT = { ...SHORT_HEARTBEAT, timeout: '20s' };

function instanceDirectories(cluster: TestCluster): readonly string[] {
  return cluster.nodes.flatMap(({ settings }) => {
    const directory = path.join(settings.dataDir, 'instances');
    return existsSync(directory) ? readdirSync(directory) : [];
  });
}

it('nodes are added for a queue and taken away after it, and each task is done once, though leaders die', async () => {
  const cluster = await startCluster({ heartbeat: HEARTBEAT, capacity: 'cpu=1,memory=1Gi' });
  await setAutoscaling(cluster, TWO_MORE_PROCESSES);
  // Written at the end: an attempt on the node that is killed may be given up, and another one made.
  const trace = path.join(cluster.directory, 'trace');
  const command = ['sh', '-c', `sleep 1.5; echo "$JARVIS_TASK_ID $JARVIS_NODE" >> ${trace}`];
  const template = { name: 'short', command, resources: { cpu: '500m', memory: '16Mi' } };
  const answer = await cluster.api().call('POST', '/tasks/batch', JSON.stringify({ template, count: TASKS }));
  expect(answer.status).toBe(201);
  const { batch_id: batch } = JSON.parse(answer.text) as { batch_id: string };
  await killLeaderIn(cluster, ['REQUESTED', 'CREATED'], LONG_MS);
  // Six, where the leader was away for so long that another one was to take its place.
  await waitFor('five nodes', async () => (await scalingStatus(cluster)).nodes.active >= 5, {
    timeoutMs: LONG_MS,
  });
  await waitFor(
    'the batch',
    async () => (await cluster.api().get<{ status: string }>(`/batches/${batch}`)).status === 'COMPLETED',
    { timeoutMs: LONG_MS },
  );
  const lines = linesOf(trace);
  expect(new Set(lines.map((line) => line.split(' ')[0])).size).toBe(TASKS);
  // Where the machine is so slow that the leader's node was OFFLINE before it was back, what ran there is begun anew, and no other.
  const { items } = await cluster
    .api()
    .get<{ items: readonly TaskJson[] }>(`/tasks?batch_id=${batch}&limit=${TASKS}`);
  const again = items.filter(({ attempts }) => attempts.some(({ status }) => status === 'LOST'));
  const once = lines.filter((line) => !again.some(({ id }) => line.startsWith(`${id} `)));
  expect(once).toHaveLength(TASKS - again.length);
  expect(new Set(lines.map((line) => line.split(' ')[1])).size).toBeGreaterThan(3);
  await killLeaderIn(cluster, ['DRAINING', 'LEAVING', 'TERMINATING'], LONG_MS);
  await waitFor('no instances', async () => (await scalingStatus(cluster)).instances.length === 0, {
    timeoutMs: LONG_MS,
  });
  const nodes = await cluster.api().get<{ items: readonly NodeJson[] }>('/nodes');
  expect(nodes.items.map(({ name }) => name).sort()).toEqual(['n1', 'n2', 'n3']);
  expect(instanceDirectories(cluster)).toEqual([]);
});
