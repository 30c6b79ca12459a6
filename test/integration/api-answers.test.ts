/** What the examples of docs/api.md do not bring about, through a follower, and held to the OpenAPI document all the same. */
import { describe, expect, it } from 'vitest';

import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { DocumentedApi } from '../support/documented-api.ts';
import { DocumentedClient, type Json } from '../support/documented-client.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const api = new DocumentedApi();

function over(task: Json): boolean {
  return task['finished_at'] !== null;
}

async function begin(): Promise<{ cluster: TestCluster; follower: NodeProcess; client: DocumentedClient }> {
  const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
  const [follower] = await cluster.followers();
  if (follower === undefined) throw new Error('there are followers');
  return { cluster, follower, client: new DocumentedClient(api, follower.api) };
}

/** Every field that a task with an image may have. */
const RICH = {
  apiVersion: 'jarvis/v1',
  kind: 'Task',
  name: 'rich',
  image: 'registry.example.com/team/app:1',
  command: ['app', '--all'],
  env: { LEVEL: '9', PASSWORD: { value: 'secret', sensitive: true } },
  working_dir: '/data',
  user: '1000:1000',
  network: 'none',
  pull_policy: 'always',
  resources: { cpu: '500m', memory: 67_108_864 },
  limits: { cpu: 2, memory: '1Gi', pids: 500 },
  priority: 'critical',
  timeout: '5m',
  stop_grace: 10,
  retry_policy: {
    max_attempts: 3,
    backoff_strategy: 'exponential',
    backoff_base: 2,
    max_backoff: 300,
    retryable_errors: ['ConnectionTimeout'],
    non_retryable_errors: ['InvalidInput'],
  },
  on_node_loss: 'wait',
  labels: { team: 'data' },
  not_before: '2026-01-01T00:00:00Z',
  concurrency: { key: 'db', max: 3 },
  affinity: {
    required: [{ key: 'zone', operator: 'in', values: ['a', 'b'] }],
    preferred: [{ key: 'ssd', operator: 'exists', weight: 50 }],
    anti: [{ labels: { team: 'data' } }],
  },
  locality: { near: ['zone=a', { task: 'extract' }] },
};

describe('answers as the document has them', () => {
  it('of tasks with every field, that wait, fail, give something back and are stopped', async () => {
    const { client } = await begin();
    const rich = await client.submit(RICH);
    await client.call('getTask', `/tasks/${rich.id}`);
    const { reasons } = await client.call('explainTask', `/tasks/${rich.id}/explain`);
    expect(reasons).not.toEqual([]);
    const { items } = await client.call('planTasks', '/plan', { ...RICH, name: 'planned' });
    expect(items).toMatchObject([{ node: null }]);
    const changed = { priority: 'low', labels: { team: null, more: 'yes' }, not_before: null };
    await client.call('updateTask', `/tasks/${rich.id}`, changed);
    await client.call('cancelTask', `/tasks/${rich.id}`);

    const once = { retry_policy: { max_attempts: 1 } };
    const fails = 'echo \'{"type": "InvalidInput", "message": "no"}\' > $JARVIS_ERROR_FILE; exit 3';
    const failing = await client.submit({ command: ['sh', '-c', fails], ...once });
    const killed = await client.submit({ command: ['sh', '-c', 'kill -9 $$'], ...once });
    const gives = 'echo \'{"rows": [1, null]}\' > $JARVIS_RESULT_FILE';
    const giving = await client.submit({ command: ['sh', '-c', gives] });
    const late = await client.submit({ command: ['sleep', '100'], timeout: 1, ...once });
    expect(await client.until(failing.id, over)).toMatchObject({ exit_code: 3, error: { message: 'no' } });
    expect(await client.until(killed.id, over)).toMatchObject({ signal: 'SIGKILL' });
    expect(await client.until(giving.id, over)).toMatchObject({ result: { rows: [1, null] } });
    await client.call('cancelTask', `/tasks/${giving.id}`, null, 409);
    await client.call('updateTask', `/tasks/${giving.id}`, { priority: 'high' }, 409);
    expect(await client.until(late.id, over)).toMatchObject({ error: { type: 'Timeout' } });

    const stubborn = { command: ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 1; done'] };
    const { id } = await client.submit({ ...stubborn, stop_grace: '100s' });
    await client.until(id, ({ attempts }) => (attempts as Json[]).some(({ status }) => status === 'RUNNING'));
    await client.call('cancelTask', `/tasks/${id}`);
    const stopping = await client.until(id, ({ attempts }) => (attempts as Json[])[0]?.['stopping'] !== null);
    expect(stopping['status']).toBe('RUNNING');
    await client.call('listTasks', '/tasks?limit=3');
  });

  it('of batches and DAGs that fail in part', async () => {
    const { client } = await begin();
    const once = { retry_policy: { max_attempts: 1 } };
    const batch = await client.call(
      'submitBatch',
      '/tasks/batch',
      { tasks: [{ command: ['false'], ...once }, { command: ['true'] }], max_failures: 1, max_parallel: 1 },
      201,
    );
    const dag = await client.call(
      'submitDag',
      '/tasks/dag',
      {
        name: 'half',
        tasks: [
          { id: 'fails', command: ['false'], ...once },
          { id: 'skipped', command: ['true'], dependencies: ['fails'] },
        ],
      },
      201,
    );
    for (const [operation, where] of [
      ['getBatch', `/batches/${String(batch['batch_id'])}`],
      ['getDag', `/dags/${String(dag['id'])}`],
    ] as const) {
      await waitFor(`${where} has failed`, async () => {
        const group = await client.call(operation, where);
        return group['status'] === 'FAILED' && group['finished_at'] !== null;
      });
    }
    for (const [operation, where] of [
      ['listTasks', `/tasks?dag_id=${String(dag['id'])}`],
      ['listBatches', '/batches'],
      ['listDags', '/dags?limit=1'],
    ] as const)
      await client.call(operation, where);
    const cycle = {
      name: 'round',
      tasks: [{ id: 'a', command: ['true'], dependencies: ['a'] }],
    };
    expect(await client.call('submitDag', '/tasks/dag', cycle, 422)).toHaveProperty('faults');
  });

  it('of a node that is drained of what runs there, and of one that is gone', async () => {
    const { cluster, follower, client } = await begin();
    const { id } = await client.submit({ command: ['sleep', '1000'] });
    const { node } = await client.until(id, ({ status }) => status === 'RUNNING');
    const drained = await client.call('drainNode', `/nodes/${String(node)}/drain`, {
      deadline: '10m',
      grace: 5,
    });
    expect(drained).toMatchObject({ schedulable: false, drain: { tasks_left: 1, grace: 5 } });
    await client.call('listNodes', '/nodes');
    await client.call('removeNode', `/nodes/${String(node)}`, null, 409);
    await client.call('undrainNode', `/nodes/${String(node)}/undrain`);

    const leader = await cluster.leader();
    const gone = cluster.nodes.find((one) => one !== follower && one !== leader)?.name ?? '';
    await cluster.kill(gone);
    await waitFor(`${gone} is OFFLINE`, async () => {
      const { status } = await client.call('getNode', `/nodes/${gone}`);
      return status === 'OFFLINE';
    });
    await client.call('getCluster', '/cluster');
    await client.call('getCluster', '/cluster?consistency=stale');
    await client.call('listMembers', '/cluster/members');
    await client.call('removeMember', '/cluster/members/nobody', null, 404);
    await client.call('transferLeadership', '/cluster/transfer', { to: gone }, 409);
    expect(await client.call('removeNode', `/nodes/${gone}?dead=true`)).toMatchObject({ member: 'voter' });
  });

  it('of a node that is left alone', async () => {
    const { cluster, follower, client } = await begin();
    const { id } = await client.submit({ command: ['true'] });
    await client.until(id, ({ status }) => status === 'COMPLETED');
    for (const node of cluster.nodes) if (node !== follower) await cluster.kill(node.name);
    await waitFor('nobody leads', async () => {
      const { leader } = await client.call('getCluster', '/cluster?consistency=stale');
      return leader === null;
    });
    // Each waits for a leader as long as it may.
    const [problem] = await Promise.all([
      client.call('getCluster', '/cluster', null, 503),
      client.call('getTask', `/tasks/${id}`, null, 503),
      client.call('submitTask', '/tasks', { command: ['true'] }, 503),
      client.call('getReadiness', '/readyz', null, 503),
    ]);
    expect(api.faultsOfComponent('Cluster', problem['cluster'])).toEqual([]);
    for (const [operation, where] of [
      ['getTask', `/tasks/${id}`],
      ['listTasks', '/tasks'],
      ['explainTask', `/tasks/${id}/explain`],
      ['listNodes', '/nodes'],
      ['getConfig', '/config'],
      ['listMembers', '/cluster/members'],
    ] as const)
      await client.call(operation, `${where}?consistency=stale`);
  });
});
