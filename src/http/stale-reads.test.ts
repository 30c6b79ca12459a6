import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { copylessRouting, FakeMembers } from '../operations/copyless/copyless.test-kit.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import { ROUTES } from './routes/table.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
/** Of a node that does not lead, and that reaches no other. */
let server: HttpServer;
let ids: Readonly<Record<string, string>>;

beforeEach(async () => {
  cluster = new TestCluster(['n1', 'n2']);
  cluster.register('n2', 'n2:7101');
  server = createHttpServer({
    operations: testOperations(cluster, 'n2', { remotes: inProcessRemotes(new Map()) }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
  cluster.lead('n2');
  const made = async (url: string, payload: object) =>
    (await server.app.inject({ method: 'POST', url, payload })).json<Record<string, string>>();
  const task = { name: 'a', command: ['true'] };
  ids = {
    tasks: String((await made('/tasks', task))['id']),
    batches: String((await made('/tasks/batch', [task]))['batch_id']),
    cluster: String((await made('/cluster/join-tokens', {}))['id']),
    dags: String((await made('/tasks/dag', { name: 'd', tasks: [{ id: 'a', ...task }] }))['id']),
  };
  cluster.lead('n1');
});

afterEach(async () => {
  await server.close(0);
});

const READS = ROUTES.filter(({ isRead }) => isRead === true);

function urlOf(path: string): string {
  return path.replace(':id', ids[path.split('/')[1] ?? ''] ?? '').replace(':name', 'n2');
}

describe('a stale read', () => {
  it.each(READS)('of $path is answered by a node alone, with its index and age', async ({ path }) => {
    const answer = await server.app.inject({ method: 'GET', url: `${urlOf(path)}?consistency=stale` });
    expect(answer).toMatchObject({ statusCode: 200 });
    expect(answer.headers['jarvis-index']).toBe(String(cluster.index));
    expect(answer.headers['jarvis-age-ms']).toMatch(/^\d+$/);
  });

  it.each(READS)('of $path is that of a member where the node has no copy of the state', async ({ path }) => {
    const members = [{ name: 'n2', address: 'n2:7101' }];
    const member = testOperations(cluster, 'n2', { remotes: inProcessRemotes(new Map()) });
    const leaders = new FakeMembers('w1', members);
    leaders.lead(null);
    const copyless = createHttpServer({
      operations: copylessRouting(leaders, { remotes: inProcessRemotes(new Map([['n2:7101', member]])) }),
      readiness: () => ({ ready: true, reason: '' }),
      log: silentLog,
    });
    const url = `${urlOf(path)}?consistency=stale`;
    const answer = await copyless.app.inject({ method: 'GET', url });
    await copyless.close(0);
    expect(answer).toMatchObject({ statusCode: 200 });
    // Times of attempts, loads and the like move on by themselves.
    const own = await server.app.inject({ method: 'GET', url });
    expect(Object.keys(answer.json<object>())).toEqual(Object.keys(own.json<object>()));
    expect(answer.headers['jarvis-index']).toBe(String(cluster.index));
    expect(answer.headers['jarvis-age-ms']).toMatch(/^\d+$/);
  });

  it('says nothing of its age where the node has never heard of a leader', async () => {
    cluster.lead(null);
    const alone = createHttpServer({
      operations: testOperations(cluster, 'n2', { remotes: inProcessRemotes(new Map()) }),
      readiness: () => ({ ready: true, reason: '' }),
      log: silentLog,
    });
    const answer = await alone.app.inject({ method: 'GET', url: '/tasks?consistency=stale' });
    await alone.close(0);
    expect(answer).toMatchObject({ statusCode: 200 });
    expect(answer.headers['jarvis-index']).toBe(String(cluster.index));
    expect(answer.headers).not.toHaveProperty('jarvis-age-ms');
  });

  it('is not what is asked for by default', async () => {
    const n1 = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
    cluster.register('n1', 'n1:7101');
    const follower = createHttpServer({
      operations: testOperations(cluster, 'n2', { remotes: inProcessRemotes(new Map([['n1:7101', n1]])) }),
      readiness: () => ({ ready: true, reason: '' }),
      log: silentLog,
    });
    const barriers = vi.spyOn(cluster.replica('n1'), 'readBarrier');
    for (const url of ['/tasks', '/tasks?consistency=linearizable']) {
      const answer = await follower.app.inject({ method: 'GET', url });
      expect(answer).toMatchObject({ statusCode: 200 });
      expect(answer.headers).not.toHaveProperty('jarvis-index');
    }
    expect(barriers).toHaveBeenCalledTimes(2);
    await follower.app.inject({ method: 'GET', url: '/tasks?consistency=stale' });
    expect(barriers).toHaveBeenCalledTimes(2);
    await follower.close(0);
  });

  it('is nothing for a call that changes something', async () => {
    const answer = await server.app.inject({ method: 'DELETE', url: '/tasks/x?consistency=stale' });
    expect(answer).toMatchObject({ statusCode: 400 });
  });
});
