import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { specOf } from '../scheduler/core/testing/values.ts';
import { createHttpServer, type HttpServer } from './server.ts';

let cluster: TestCluster;
/** That of a follower. */
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2']) {
    cluster.register(name, `${name}:7101`);
    nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  const operations = nodes.get('n2:7101') as RoutingOperations;
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function call(method: 'GET' | 'PUT', url: string, payload?: object) {
  const answer = await server.app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
  return { status: answer.statusCode, json: answer.json<Record<string, unknown>>() };
}

/** The leader has decided so often. */
async function decide(times: number): Promise<void> {
  await call('PUT', '/config', { autoscaling: { enabled: true, dry_run: true } });
  const replica = cluster.replica('n1');
  const load = {
    queueDepth: 500,
    averageWaitTime: 600,
    longestWaitTime: 700,
    utilization: 100,
    unplaceable: 0,
    nodes: 2,
  };
  for (let after = 0; after < times; after += 1)
    await replica.propose({
      type: 'autoscalerDecided',
      term: replica.leadership().term,
      after,
      provider: 'process',
      decision: { action: 'add_nodes', count: 1, desired: 3, reason: 'queue', load, rules: [] },
      isDryRun: true,
      add: 1,
      keep: [],
      remove: [],
      drainMs: 0,
    });
}

describe('GET /autoscaler', () => {
  it('says that it is not enabled, and what the rules would come to', async () => {
    expect(await call('GET', '/autoscaler')).toMatchObject({
      status: 200,
      json: {
        enabled: false,
        provider: 'process',
        nodes: { active: 3, joining: 0, leaving: 0, desired: 3 },
        reason: 'it is not enabled',
        rules: [],
        instances: [],
        last_decision: null,
        last_evaluated_at: null,
        failure: null,
      },
    });
  });

  it('says of a node that it cannot go, and whose word that takes', async () => {
    const { term } = cluster.replica('n1').leadership();
    const found = {
      id: 'instance-1',
      node: 'n2',
      provider: 'process',
      providerId: 'p1',
      host: 'n1',
    } as const;
    const step = { type: 'adopted', phase: 'JOINED', ...found } as const;
    cluster.execute({ type: 'instanceProgress', term, steps: [step], hasRecovered: false });
    const tasks = [specOf({ onNodeLoss: 'wait' })];
    const outcome = cluster.execute({ type: 'submitTasks', tasks, idempotency: null });
    const [taskId = ''] = (outcome as { result: { taskIds: readonly string[] } }).result.taskIds;
    cluster.assign(taskId, 'n2');
    expect((await call('GET', '/autoscaler')).json).toMatchObject({
      instances: [{ node: 'n2', error: null }],
    });
    cluster.execute({ type: 'nodeOffline', term, node: 'n2', session: cluster.session('n2') });
    expect((await call('GET', '/autoscaler')).json).toMatchObject({
      instances: [
        { node: 'n2', error: expect.stringMatching(/OFFLINE, and 1 task waits .* \(node remove --dead\)$/) },
      ],
    });
  });

  it('has the last decision, and since when what fails', async () => {
    await decide(2);
    const replica = cluster.replica('n1');
    const { term } = replica.leadership();
    await replica.propose({
      type: 'autoscalerFailed',
      term,
      provider: 'aws',
      reason: 'quota',
      holdMs: 60_000,
    });
    expect((await call('GET', '/autoscaler')).json).toMatchObject({
      enabled: true,
      dry_run: true,
      reason: 'no rule fires',
      last_decision: { number: 2, action: 'add_nodes', dry_run: true, load: { queue_depth: 500 } },
      failure: { provider: 'aws', count: 1, reason: 'quota' },
    });
  });
});

describe('GET /autoscaler/history', () => {
  it('has what was decided, the newest first, page by page', async () => {
    await decide(3);
    const first = await call('GET', '/autoscaler/history?limit=2');
    expect(first.json).toMatchObject({ items: [{ number: 3 }, { number: 2 }], next_cursor: '2' });
    const second = await call('GET', '/autoscaler/history?limit=2&cursor=2');
    expect(second.json).toMatchObject({ items: [{ number: 1 }], next_cursor: null });
  });

  it.each(['limit=1001', 'cursor=x', 'of=1'])('refuses %s', async (query) => {
    const { status, json } = await call('GET', `/autoscaler/history?${query}`);
    expect([400, 422]).toContain(status);
    expect(json).toHaveProperty('code');
  });
});
