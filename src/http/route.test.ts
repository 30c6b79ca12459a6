import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import { routeOf } from './route.ts';
import { ROUTES } from './routes/table.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let server: HttpServer;

beforeEach(() => {
  const cluster = new TestCluster(['n1']);
  server = createHttpServer({
    operations: testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

describe('the table of calls', () => {
  it('names each call once, and each path and method once', () => {
    const names = ROUTES.map(({ operation }) => operation);
    const places = ROUTES.map(({ method, path }) => `${method} ${path}`);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(places).size).toBe(places.length);
  });

  it('tells hooks which call a request is', async () => {
    const seen: (string | null)[] = [];
    server.app.addHook('onRequest', async (request) => {
      seen.push(routeOf(request)?.operation ?? null);
    });
    await server.app.inject({ method: 'GET', url: '/tasks/x' });
    await server.app.inject({ method: 'HEAD', url: '/nodes' });
    await server.app.inject({ method: 'PUT', url: '/nodes' });
    await server.app.inject({ method: 'GET', url: '/nothing' });
    expect(seen).toEqual(['getTask', 'listNodes', null, null]);
  });

  it.each(ROUTES.filter(({ isStream }) => isStream))('runs no stream for HEAD $path', async ({ path }) => {
    const response = await server.app.inject({ method: 'HEAD', url: path.replace(':id', 'task-x') });
    expect(response).toMatchObject({ statusCode: 405 });
    expect(response.headers['allow']).toBe('GET');
  });

  it.each(ROUTES.filter(({ method, body }) => method === 'POST' && body === undefined))(
    'takes no body for $operation',
    async ({ path }) => {
      const response = await server.app.inject({ method: 'POST', url: path, payload: { surprise: 1 } });
      expect(response).toMatchObject({ statusCode: 422 });
    },
  );
});
