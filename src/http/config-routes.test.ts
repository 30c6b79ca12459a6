import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { TestCluster, inProcessRemotes, testOperations } from '../operations/operations.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { createHttpServer, type HttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  cluster.register('n1', 'n1:7101');
  const nodes = new Map<string, RoutingOperations>();
  const remotes = inProcessRemotes(nodes);
  for (const name of ['n1', 'n2']) nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes }));
  const operations = nodes.get('n2:7101');
  if (operations === undefined) throw new Error('n2 is there');
  // That of a follower: what it is asked reaches the leader.
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function call(method: 'GET' | 'PUT', body?: object) {
  const payload = body === undefined ? {} : { payload: body };
  const response = await server.app.inject({ method, url: '/config', ...payload });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

const MEMBERSHIP = { voters: null, learners: 20, voter_grace: 300 };

describe('the settings of the cluster', () => {
  it('are shown in seconds', async () => {
    expect(await call('GET')).toEqual({
      status: 200,
      json: {
        heartbeat: { interval: 2, warning: 10, timeout: 30 },
        membership: MEMBERSHIP,
        settling_timeout: null,
      },
    });
  });

  it('are changed, what is not named stays as it is', async () => {
    const { status, json } = await call('PUT', { heartbeat: { timeout: '1m', warning: 20 } });
    expect([status, json]).toEqual([
      200,
      {
        heartbeat: { interval: 2, warning: 20, timeout: 60 },
        membership: MEMBERSHIP,
        settling_timeout: null,
      },
    ]);
    expect((await call('GET')).json).toEqual(json);
  });

  it('say which timeout still counts while a shorter one settles', async () => {
    const { json } = await call('PUT', { heartbeat: { timeout: 12 } });
    expect(json).toMatchObject({ heartbeat: { timeout: 12 }, settling_timeout: 30 });
  });

  it.each([
    [{ heartbeat: { timeout: 9 } }, 'heartbeat: interval 2000 ms, warning 10000 ms, timeout 9000 ms'],
    [{ heartbeat: { timeout: 'soon', interval: 'x' } }, 'heartbeat.interval: '],
    [{ heartbeat: { timeout: [1] } }, 'heartbeat.timeout: is not a duration'],
    [{ heartbeat: {} }, 'names nothing to change'],
    [{ heartbeat: { pause: 3 } }, 'pause'],
    [{ membership: { voters: 5 } }, 'membership'],
    [[], 'expected object'],
  ])('cannot be %j', async (body, message) => {
    const { status, json } = await call('PUT', body);
    expect(status).toBe(422);
    expect(JSON.stringify(json)).toContain(message);
    expect((await call('GET')).json).toMatchObject({ heartbeat: { timeout: 30 } });
  });
});
