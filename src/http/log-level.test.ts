import { afterEach, beforeEach, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let server: HttpServer;

beforeEach(() => {
  const cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function ask(method: 'GET' | 'PUT', payload?: object) {
  const response = await server.app.inject({
    method,
    url: '/nodes/n1/log-level',
    ...(payload === undefined ? {} : { payload }),
  });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

it('the level of the log of a node is shown and changed', async () => {
  const initial = { node: 'n1', level: 'info', configured: 'info', until: null };
  expect(await ask('GET')).toEqual({ status: 200, json: initial });
  const { status, json } = await ask('PUT', { level: 'debug', for: '10m' });
  expect([status, json]).toEqual([
    200,
    { ...initial, level: 'debug', until: expect.stringMatching(/^\d{4}-.*Z$/) as string },
  ]);
  expect(await ask('GET')).toEqual({ status: 200, json });
  expect((await ask('PUT', { level: 'warn', for: 0 })).json).toEqual({ ...initial, level: 'warn' });
});

it.each([
  [{ level: 'loud' }, 'level'],
  [{}, 'level'],
  [{ level: 'debug', for: '25h' }, 'for'],
  [{ level: 'debug', during: '1h' }, 'during'],
])('%j is refused', async (body, path) => {
  const { status, json } = await ask('PUT', body);
  expect([status, json]).toEqual([
    422,
    expect.objectContaining({ faults: [expect.objectContaining({ path })] }),
  ]);
});
