import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { AttemptUsage, NodeUsage } from '../generated/cluster.ts';
import { Usage } from '../generated/worker.ts';
import { silentLog } from '../lib/log.ts';
import { testContext, testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { UsageQuestion } from '../operations/node-port.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { nodeUsage, taskUsage } from './schemas/usage.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

const AT = '2026-11-24T00:00:00.000Z';
let cluster: TestCluster;
let operations: RoutingOperations;
let server: HttpServer;
let questions: UsageQuestion[];

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  questions = [];
  const localUsage = {
    read: async (question: UsageQuestion) => {
      questions.push(question);
      return NodeUsage.create({
        node: 'n1',
        sampled_at: AT,
        interval: 10,
        usage: Usage.create({ cpu_percent: 12.5 }),
        history: [{ at: AT, cpu_percent: 3 }],
        attempts: [
          AttemptUsage.create({
            task_id: 'task-a',
            driver: 'process',
            sampled_at: AT,
            cpu_cores: 1.5,
            history: [{ at: AT, cpu_cores: 2 }],
          }),
        ],
        attempts_total: 1,
      });
    },
  };
  operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()), localUsage });
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function get(url: string) {
  const response = await server.app.inject({ method: 'GET', url });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

describe('GET /nodes/{name}/usage', () => {
  it('answers with what the node and its attempts use, as the document describes it', async () => {
    const { status, json } = await get('/nodes/n1/usage?since=2026-11-24T00:00:00Z&limit=5');
    expect(status).toBe(200);
    expect(nodeUsage.parse(json)).toEqual(json);
    expect(json).toMatchObject({
      node: 'n1',
      usage: { cpu_percent: 12.5 },
      history: [{ cpu_percent: 3 }],
      attempts: [{ task_id: 'task-a', cpu_cores: 1.5, memory_bytes: null }],
    });
    expect(questions).toEqual([{ sinceMs: Date.UTC(2026, 10, 24), limit: 5, attempt: null }]);
  });

  it.each([
    ['since=noon', 'since'],
    ['limit=0', 'limit'],
    ['limit=-1', 'limit'],
    ['task=a', 'task'],
  ])('refuses %s', async (query, parameter) => {
    expect(await get(`/nodes/n1/usage?${query}`)).toMatchObject({
      status: 400,
      json: { faults: [{ path: parameter }] },
    });
  });

  it('knows no node that is not there', async () => {
    expect(await get('/nodes/n9/usage')).toMatchObject({ status: 404, json: { code: 'not_found' } });
  });
});

describe('GET /tasks/{id}/usage', () => {
  it('answers with what the running attempt uses, and 409 where none runs', async () => {
    const request = { tasks: [wireFromPlain({ command: ['true'] })], idempotency_key: '' };
    const { tasks } = await operations.submitTasks(request, testContext());
    const id = tasks[0]?.id ?? '';
    expect(await get(`/tasks/${id}/usage`)).toMatchObject({ status: 409, json: { code: 'conflict' } });
    cluster.assign(id, 'n1');
    cluster.report(id, 'RUNNING');
    const { status, json } = await get(`/tasks/${id}/usage`);
    expect(status).toBe(200);
    expect(taskUsage.parse(json)).toEqual(json);
    expect(json).toMatchObject({
      node: 'n1',
      cpu_cores: 1.5,
      history: [{ at: AT, cpu_cores: 2, pids: null }],
    });
  });

  it('knows no task that is not there', async () => {
    expect((await get('/tasks/task-zzzz/usage')).status).toBe(404);
  });
});
