import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
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

interface Made {
  readonly id: string;
  readonly token: string;
}

async function create(payload?: object) {
  return await server.app.inject({
    method: 'POST',
    url: '/cluster/join-tokens',
    ...(payload === undefined ? {} : { payload }),
  });
}

describe('POST /cluster/join-tokens', () => {
  it('makes a token with every default, shows it, and asks that nobody keeps it', async () => {
    const answer = await create();
    expect(answer.statusCode).toBe(201);
    const made = answer.json<Made>();
    expect(made).toEqual({
      token: expect.stringMatching(/^jarvisjoin_join-[0-9a-z]{18}_[0-9a-f]{64}$/) as string,
      id: expect.stringMatching(/^join-[0-9a-z]{18}$/) as string,
      name: null,
      created_at: new Date(cluster.nowMs).toISOString(),
      created_by: 'anonymous',
      expires_at: new Date(cluster.nowMs + 3_600_000).toISOString(),
      uses: 1,
      uses_left: 1,
      used_by: [],
    });
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      location: `/cluster/join-tokens/${made.id}`,
    });
  });

  it('takes what a token is to be', async () => {
    const answer = await create({ expires: '1h30m', uses: 3, name: 'n4' });
    expect(answer.json()).toMatchObject({
      expires_at: new Date(cluster.nowMs + 5_400_000).toISOString(),
      uses: 3,
      name: 'n4',
    });
  });

  it('names every fault, and makes nothing', async () => {
    const answer = await create({ expires: '8d', uses: 0, nam: 'n4' });
    expect(answer.statusCode).toBe(422);
    const { faults } = answer.json<{ faults: { path: string }[] }>();
    expect(faults.map(({ path }) => path).sort()).toEqual(['expires', 'nam', 'uses']);
    expect(cluster.state.joinTokens.size).toBe(0);
  });
});

describe('/cluster/join-tokens', () => {
  it('lists tokens without what they are worth, and deletes one', async () => {
    const { id, token } = (await create()).json<Made>();
    const listed = await server.app.inject({ method: 'GET', url: '/cluster/join-tokens' });
    expect(listed.json()).toMatchObject({ items: [{ id, uses_left: 1 }], next_cursor: null });
    expect(listed.body).not.toContain(token.slice(-64));
    const url = `/cluster/join-tokens/${id}`;
    const shown = await server.app.inject({ method: 'GET', url });
    expect(shown.json()).toEqual(listed.json<{ items: object[] }>().items[0]);
    const gone = await server.app.inject({ method: 'DELETE', url });
    expect(gone.json()).toMatchObject({ id });
    for (const method of ['DELETE', 'GET'] as const)
      expect((await server.app.inject({ method, url })).statusCode).toBe(404);
  });
});
