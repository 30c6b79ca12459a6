import { expect, it, onTestFinished } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { createHttpServer, type AnsweredRequest } from './server.ts';

type Options = Partial<Parameters<typeof createHttpServer>[0]>;

function serve(options: Options) {
  const server = createHttpServer({
    operations: {} as ClusterOperations,
    readiness: () => ({ ready: false, reason: 'starting' }),
    log: silentLog,
    ...options,
  });
  onTestFinished(() => server.close(0));
  return server.app;
}

const metrics = { contentType: 'text/plain; version=0.0.4', scrape: async () => 'jarvis_up 1\n' };

it('metrics are told as they are made, also while the node is starting', async () => {
  const { statusCode, headers, body } = await serve({ metrics }).inject('/metrics');
  expect([statusCode, headers['content-type'], body]).toEqual([200, metrics.contentType, 'jarvis_up 1\n']);
});

it('metrics are compressed for those who want that', async () => {
  const long = { ...metrics, scrape: async () => 'jarvis_up 1\n'.repeat(1000) };
  const headers = { 'accept-encoding': 'gzip' };
  const answer = await serve({ metrics: long }).inject({ url: '/metrics', headers });
  expect(answer.headers['content-encoding']).toBe('gzip');
  expect(answer.rawPayload.length).toBeLessThan(1000);
});

it('a node without metrics says so', async () => {
  expect((await serve({}).inject('/metrics')).json()).toMatchObject({ status: 503, code: 'unavailable' });
});

it('where callers need tokens they need one for metrics, of the role that sees the cluster', async () => {
  const asked: unknown[] = [];
  const app = serve({
    metrics,
    admission: {
      authenticate: async ({ token }, operation) => {
        asked.push([token, operation]);
        if (token === null) throw new JarvisError('unauthenticated', 'no token');
      },
    },
  });
  expect((await app.inject('/metrics')).statusCode).toBe(401);
  const headers = { authorization: 'Bearer abc' };
  expect((await app.inject({ url: '/metrics', headers })).statusCode).toBe(200);
  expect(asked).toEqual([
    [null, 'getCluster'],
    ['abc', 'getCluster'],
  ]);
});

it('whoever observes hears of each answer, by the pattern of the path', async () => {
  const answered: AnsweredRequest[] = [];
  const app = serve({ metrics, onAnswered: (request) => answered.push(request) });
  for (const url of ['/metrics', '/schemas/nothing', '/nothing/here']) await app.inject(url);
  await app.inject({ method: 'PUT', url: '/healthz' });
  expect(answered.map(({ method, route, status, isStream }) => [method, route, status, isStream])).toEqual([
    ['GET', '/metrics', 200, false],
    ['GET', '/schemas/:name', 404, false],
    ['GET', null, 404, false],
    ['PUT', '/healthz', 405, false],
  ]);
  for (const { durationMs } of answered) expect(durationMs).toBeGreaterThanOrEqual(0);
});
