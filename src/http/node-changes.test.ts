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
  server = createHttpServer({
    operations: testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

async function call(method: 'GET' | 'POST' | 'PATCH', url: string, body?: unknown) {
  const payload = body === undefined ? {} : { payload: body as object };
  const response = await server.app.inject({ method, url, ...payload });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

const WARNING = 'no node takes new work now: what is pending, and what is moved, waits until one does';

describe('POST /nodes/{name}/…', () => {
  it('cordons, drains and undrains, and answers with the node as it is then', async () => {
    expect(await call('POST', '/nodes/n1/cordon')).toMatchObject({
      status: 200,
      json: { name: 'n1', status: 'AVAILABLE', schedulable: false, drain: null, warnings: [WARNING] },
    });
    const drained = await call('POST', '/nodes/n1/drain', { deadline: 60, grace: '5s' });
    expect(drained).toMatchObject({
      status: 200,
      json: {
        status: 'DRAINING',
        schedulable: false,
        drain: {
          deadline: new Date(cluster.nowMs + 60_000).toISOString(),
          grace: 5,
          overdue: false,
          tasks_left: 0,
          finished_at: null,
          on_exit: false,
        },
      },
    });
    const { warnings: _, ...node } = drained.json;
    expect((await call('GET', '/nodes/n1')).json).toEqual(node);
    expect(await call('POST', '/nodes/n1/drain')).toMatchObject({ status: 200 });
    expect(await call('POST', '/nodes/n1/undrain', {})).toMatchObject({
      status: 200,
      json: { status: 'AVAILABLE', schedulable: true, drain: null, warnings: [] },
    });
  });

  it.each<[string, unknown, number, RegExp]>([
    ['/nodes/n9/cordon', undefined, 404, /there is no node "n9"/],
    ['/nodes/..%2F..%2Fetc/drain', undefined, 404, /there is no node "..\/..\/etc"/],
    ['/nodes/n1/cordon', { why: 'x' }, 422, /nothing is to be said/],
    ['/nodes/n1/drain', { deadline: 'soon' }, 422, /deadline: .*"soon"/],
    ['/nodes/n1/drain', { deadline: [] }, 422, /deadline: must be seconds or a duration/],
    ['/nodes/n1/drain', { dead_line: '1h' }, 422, /dead_line: .*deadline/],
    ['/nodes/n1/drain?deadline=1h', undefined, 400, /unknown parameter "deadline"/],
  ])('%s with %j is refused with %d', async (url, body, status, detail) => {
    expect(await call('POST', url, body)).toMatchObject({
      status,
      json: { detail: expect.stringMatching(detail) },
    });
    expect(cluster.state.nodes.get('n1')).toMatchObject({ status: 'AVAILABLE', schedulable: true });
  });
});

describe('PATCH /nodes/{name}', () => {
  it('sets labels, and takes those away that are null', async () => {
    expect(await call('PATCH', '/nodes/n1', { labels: { ssd: '', zone: null } })).toMatchObject({
      status: 200,
      json: { labels: { ssd: '' }, warnings: [] },
    });
  });

  it.each<[string, unknown, number, RegExp]>([
    ['/nodes/n9', { labels: { a: 'b' } }, 404, /there is no node "n9"/],
    ['/nodes/n1', {}, 422, /labels/],
    ['/nodes/n1', { labels: {} }, 422, /nothing is to be changed/],
    ['/nodes/n1', { labels: { '../a': 'b' } }, 422, /"..\/a" is not a name/],
    ['/nodes/n1', { labels: { a: 1 } }, 422, /labels\.a: must be a string, not 1/],
    ['/nodes/n1', { labels: { a: 'b' }, schedulable: false }, 422, /schedulable: .*labels/],
  ])('%s with %j is refused with %d', async (url, body, status, detail) => {
    expect(await call('PATCH', url, body)).toMatchObject({
      status,
      json: { detail: expect.stringMatching(detail) },
    });
  });
});
