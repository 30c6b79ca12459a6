/** The autoscaler makes more nodes than there can be members: those beyond them work without a copy of the state, and go first. */
import { expect, it } from 'vitest';

import type { NodeJson, TaskJson } from '../support/api.ts';
import { scalingStatus, setAutoscaling, TWO_MORE_PROCESSES } from '../support/autoscaler.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const LONG_MS = 120_000;
const MEMBERSHIP = { voters: 3, learners: 1 };

/** Names of nodes by their roles. */
async function nodesByRole(cluster: TestCluster): Promise<Readonly<Record<string, readonly string[]>>> {
  const { items } = await cluster.api().get<{ items: readonly NodeJson[] }>('/nodes');
  const names = (role: string): readonly string[] =>
    items.filter((node) => node.role === role).map(({ name }) => name);
  return { voter: names('voter'), learner: names('learner'), worker: names('worker') };
}

async function activeNodes(cluster: TestCluster): Promise<number> {
  return (await scalingStatus(cluster)).nodes.active;
}

it('nodes beyond the learners are made, do their part, and leave before those that have a copy', async () => {
  const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, membership: MEMBERSHIP });
  const rules = { scale_up_rules: [], scale_down_rules: [] };
  await setAutoscaling(cluster, { ...TWO_MORE_PROCESSES, ...rules, min_nodes: 6, max_nodes: 6 });
  await waitFor('six nodes', async () => (await activeNodes(cluster)) === 6, { timeoutMs: LONG_MS });
  const { voter, learner = [], worker = [] } = await nodesByRole(cluster);
  expect(voter).toEqual(['n1', 'n2', 'n3']);
  expect(learner).toHaveLength(1);
  expect(worker).toHaveLength(2);
  const status = await cluster.cli(['cluster', 'status']);
  expect(status.stdout).toMatch(/^Learners: +1\nWorkers: +2, without a copy of the state\n/m);
  const members = await cluster.cli(['cluster', 'members']);
  for (const name of worker) expect(members.stdout).toMatch(new RegExp(`^${name} +worker +- +- `, 'm'));

  // Each of them runs what is for it alone.
  for (const name of worker) {
    expect(await cluster.cli(['node', 'label', name, `only=${name}`])).toMatchObject({ status: 0 });
    const affinity = { required: [{ key: 'only', operator: 'in', values: [name] }] };
    const task = { name: `on-${name}`, command: ['true'], affinity };
    const run = await cluster.api().call('POST', '/tasks', JSON.stringify(task));
    expect(run.status).toBe(201);
  }
  await waitFor(
    'what the workers run',
    async () => {
      const { items } = await cluster.api().get<{ items: readonly TaskJson[] }>('/tasks');
      return items.length === 2 && items.every(({ status: is }) => is === 'COMPLETED');
    },
    { timeoutMs: LONG_MS },
  );

  await setAutoscaling(cluster, { min_nodes: 4, max_nodes: 4 });
  const instances = async () => (await scalingStatus(cluster)).instances.map(({ node }) => node);
  await waitFor('two of them gone', async () => (await instances()).length === 1, { timeoutMs: LONG_MS });
  expect(await nodesByRole(cluster)).toEqual({ voter, learner, worker: [] });
  await setAutoscaling(cluster, { min_nodes: 3, max_nodes: 3 });
  await waitFor('all of them gone', async () => (await instances()).length === 0, { timeoutMs: LONG_MS });
  expect(await nodesByRole(cluster)).toEqual({ voter, learner: [], worker: [] });
  expect((await cluster.api().cluster()).members.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
});
