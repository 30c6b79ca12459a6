/** Batches and DAGs over HTTP, on the real operations and state machine. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  server = createHttpServer({
    operations,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

interface Json {
  readonly [key: string]: unknown;
  readonly items: readonly Json[];
  readonly tasks: readonly Json[];
}

async function call(method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown, key?: string) {
  const response = await server.app.inject({
    method,
    url,
    ...(body === undefined ? {} : { payload: body as object }),
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  });
  return { status: response.statusCode, headers: response.headers, json: response.json<Json>() };
}

async function get(url: string): Promise<Json> {
  const { status, json } = await call('GET', url);
  expect(status).toBe(200);
  return json;
}

/** All pages. */
async function all(url: string): Promise<readonly Json[]> {
  const items: Json[] = [];
  let cursor: unknown = null;
  do {
    const next: string = typeof cursor === 'string' ? `&cursor=${cursor}` : '';
    const page = await get(`${url}${next}`);
    items.push(...page.items);
    cursor = page['next_cursor'];
  } while (cursor !== null);
  return items;
}

const command = ['true'];

/** A leader's next steps for whatever has any left. */
function advanceAll(): void {
  for (;;) {
    const next = cluster.state.nextWorkingGroup();
    if (next === null) return;
    const group = cluster.state.batches.get(next.id) ?? cluster.state.dags.get(next.id);
    const at = group?.sweep?.next ?? group?.made ?? 0;
    cluster.execute({ type: 'advanceGroup', term: cluster.term, ...next, at, taskIds: [] });
  }
}

function complete(taskId: string, status: 'COMPLETED' | 'FAILED' = 'COMPLETED'): void {
  cluster.assign(taskId, 'n1');
  cluster.report(taskId, status);
}

describe('a batch', () => {
  it('is submitted as a list, and read as a whole and by its tasks', async () => {
    const tasks = Array.from({ length: 10 }, (_, at) => ({ name: `task${at}`, command }));
    const { status, json, headers } = await call('POST', '/tasks/batch', tasks);
    expect(status).toBe(201);
    expect(json['batch_id']).toMatch(/^batch-[0-9a-z]{18}$/);
    expect(headers.location).toBe(`/batches/${String(json['batch_id'])}`);
    expect(json.tasks.map(({ name }) => name)).toEqual(tasks.map(({ name }) => name));
    const id = String(json['batch_id']);
    const page = await get(`/tasks?batch_id=${id}`);
    expect(page.items).toHaveLength(10);
    expect(page.items.at(-1)).toMatchObject({ id: json.tasks[0]?.['id'], batch_id: id, batch_index: 0 });
    expect(await get(`/batches/${id}`)).toMatchObject({
      id,
      name: 'batch',
      status: 'PENDING',
      size: 10,
      counts: { PENDING: 10, RUNNING: 0 },
      started_at: null,
    });
    for (const task of json.tasks) complete(String(task['id']));
    expect(await get(`/batches/${id.slice(0, 12)}`)).toMatchObject({
      status: 'COMPLETED',
      counts: { COMPLETED: 10, PENDING: 0 },
    });
    expect((await get('/batches')).items).toMatchObject([{ id, status: 'COMPLETED' }]);
  });

  it('of many tasks is there at once, those that are not made too', async () => {
    const body = { template: { name: 'part-{{index}}', command: ['x', '{{index}}'] }, count: 1200 };
    const { json } = await call('POST', '/tasks/batch', body);
    const id = String(json['batch_id']);
    expect(json.tasks).toHaveLength(1200);
    expect(cluster.state.tasks.size).toBe(500);
    const last = json.tasks.at(-1);
    expect(last?.['name']).toBe('part-1199');
    const unmade = await get(`/tasks/${String(last?.['id'])}`);
    expect(unmade).toMatchObject({ status: 'PENDING', command: ['x', '1199'], batch_index: 1199 });
    const before = await all(`/tasks?batch_id=${id}&limit=500`);
    expect(before.map((task) => task['id'])).toEqual(json.tasks.map((task) => task['id']).reverse());
    advanceAll();
    expect(cluster.state.tasks.size).toBe(1200);
    expect(await all(`/tasks?batch_id=${id}&limit=500`)).toEqual(before);
    expect(await get(`/tasks/${String(last?.['id'])}`)).toEqual(unmade);
    expect((await get(`/tasks?batch_id=${id}&name=part-7`)).items).toHaveLength(1);
    expect((await get(`/tasks?batch_id=${id}&status=COMPLETED`)).items).toEqual([]);
  });

  it('is made once per key', async () => {
    const body = { template: { command }, parameters: [{ a: 1 }, { a: 2 }] };
    const first = await call('POST', '/tasks/batch', body, 'k');
    expect(await call('POST', '/tasks/batch', body, 'k')).toMatchObject({ status: 201, json: first.json });
    expect(cluster.state.tasks.size).toBe(2);
    const other = { template: { command }, parameters: [{ a: 1 }] };
    expect((await call('POST', '/tasks/batch', other, 'k')).status).toBe(409);
  });

  it('is cancelled and begun anew', async () => {
    const { json } = await call('POST', '/tasks/batch', [{ command }, { command }]);
    const id = String(json['batch_id']);
    expect((await call('POST', `/batches/${id}/retry`)).status).toBe(409);
    expect((await call('DELETE', `/batches/${id}`)).json).toMatchObject({ status: 'CANCELLED' });
    const again = await call('POST', `/batches/${id}/retry`);
    expect(again).toMatchObject({ status: 200, json: { counts: { PENDING: 2, CANCELLED: 0 } } });
    for (const task of json.tasks) complete(String(task['id']));
    expect((await get(`/batches/${id}`))['status']).toBe('COMPLETED');
    expect((await call('DELETE', `/batches/${id}`)).status).toBe(409);
    expect((await call('DELETE', '/batches/batch-none')).status).toBe(404);
    expect((await call('GET', '/tasks?batch_id=batch-none')).status).toBe(404);
  });

  it('is refused with a fault for each thing that is wrong, and changes nothing', async () => {
    const { index } = cluster;
    const refused = await call('POST', '/tasks/batch', [{ command }, { command: 'x' }, { command, cpu: 1 }]);
    expect(refused.status).toBe(422);
    expect(refused.json['faults']).toMatchObject([{ path: 'tasks[1].command' }, { path: 'tasks[2].cpu' }]);
    const bomb = await call('POST', '/tasks/batch', { template: { command }, count: 1e9 });
    expect(bomb).toMatchObject({ status: 422, json: { faults: [{ path: 'count' }] } });
    expect(cluster.index).toBe(index);
  });
});

const etl = {
  name: 'etl-pipeline',
  tasks: [
    { id: 'extract', command, dependencies: [] },
    { id: 'transform', command, dependencies: ['extract'] },
    { id: 'load', command, dependencies: ['transform'] },
  ],
};

describe('a DAG', () => {
  it('is submitted, runs in order, and is found by its name', async () => {
    const { status, json } = await call('POST', '/tasks/dag', etl);
    expect(status).toBe(201);
    expect(json['id']).toMatch(/^dag-[0-9a-z]{18}$/);
    expect(json).toMatchObject({
      name: 'etl-pipeline',
      status: 'PENDING',
      counts: { PENDING: 1, WAITING: 2 },
      tasks: [
        { dag_task: 'extract', name: 'extract', status: 'PENDING', dependencies: [] },
        { dag_task: 'transform', status: 'WAITING', dependencies: ['extract'] },
        { dag_task: 'load', status: 'WAITING', dependencies: ['transform'] },
      ],
    });
    for (const task of json.tasks) complete(String(task['id']));
    const done = await get('/dags/etl-pipeline');
    expect(done).toMatchObject({ id: json['id'], status: 'COMPLETED' });
    expect(done.tasks.map((task) => task['status'])).toEqual(['COMPLETED', 'COMPLETED', 'COMPLETED']);
    const task = await get(`/tasks/${String(json.tasks[1]?.['id'])}`);
    expect(task).toMatchObject({ dag_id: json['id'], dag_task: 'transform', dependencies: ['extract'] });
    expect((await get('/tasks?dag_id=etl-pipeline')).items).toHaveLength(3);
    const again = await call('POST', '/tasks/dag', etl);
    expect((await get('/dags/etl-pipeline'))['id']).toBe(again.json['id']);
    expect((await get('/dags?limit=1')).items).toMatchObject([{ id: again.json['id'] }]);
  });

  it('is begun anew from what failed', async () => {
    const once = { retry_policy: { max_attempts: 1 } };
    const { json } = await call('POST', '/tasks/dag', {
      ...etl,
      tasks: etl.tasks.map((task) => ({ ...task, ...once })),
    });
    const [extract, transform, load] = json.tasks.map((task) => String(task['id']));
    complete(extract ?? '');
    complete(transform ?? '', 'FAILED');
    expect(await get('/dags/etl-pipeline')).toMatchObject({
      status: 'FAILED',
      counts: { COMPLETED: 1, PERMANENTLY_FAILED: 1, SKIPPED: 1 },
    });
    const retried = await call('POST', '/dags/etl-pipeline/retry');
    expect(retried).toMatchObject({ status: 200, json: { status: 'RUNNING' } });
    complete(transform ?? '');
    complete(load ?? '');
    expect((await get('/dags/etl-pipeline'))['status']).toBe('COMPLETED');
    expect((await call('POST', '/dags/etl-pipeline/retry')).status).toBe(409);
  });

  it('is cancelled', async () => {
    const { json } = await call('POST', '/tasks/dag', etl);
    const cancelled = await call('DELETE', `/dags/${String(json['id'])}`);
    expect(cancelled.json).toMatchObject({ status: 'CANCELLED', counts: { CANCELLED: 3 } });
  });

  it('with a cycle is refused, and the cycle named', async () => {
    const tasks = [
      { id: 'a', command, dependencies: ['b'] },
      { id: 'b', command, dependencies: ['a'] },
    ];
    const { status, json } = await call('POST', '/tasks/dag', { name: 'd', tasks });
    expect(status).toBe(422);
    expect(json['faults']).toEqual([
      { path: 'tasks', message: 'form a cycle, each depending on the next: a → b → a' },
    ]);
  });
});
