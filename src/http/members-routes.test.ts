import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ChangeMemberRequest } from '../generated/cluster.ts';
import { JarvisError, type ErrorCode } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { RoutingOperations } from '../operations/router.ts';
import { createHttpServer, type HttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;
/** What was asked of the leader: changes, and names of heirs. */
let asked: (ChangeMemberRequest | string)[];
let refusal: ErrorCode | null;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  cluster.register('n1', 'n1:7101');
  cluster.register('n2', 'n2:7101');
  asked = [];
  refusal = null;
  const note = async (request: ChangeMemberRequest | string): Promise<void> => {
    asked.push(request);
    if (refusal !== null) throw new JarvisError(refusal, `refused: ${refusal}`);
  };
  const nodes = new Map<string, RoutingOperations>();
  const remotes = inProcessRemotes(nodes);
  for (const name of ['n1', 'n2'])
    nodes.set(
      `${name}:7101`,
      testOperations(cluster, name, { remotes, membership: { change: note, transfer: note } }),
    );
  const operations = nodes.get('n2:7101');
  if (operations === undefined) throw new Error('n2 is there');
  // That of a follower: what it is asked reaches the leader.
  server = createHttpServer({
    operations,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

async function call(
  method: 'GET' | 'POST' | 'DELETE' | 'PUT',
  url: string,
  body?: object,
  headers: Record<string, string> = {},
) {
  const payload = body === undefined ? {} : { payload: body };
  const response = await server.app.inject({ method, url, headers, ...payload });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

describe('GET /cluster/members', () => {
  it('lists the members', async () => {
    const { status, json } = await call('GET', '/cluster/members');
    expect(status).toBe(200);
    expect(json).toMatchObject({
      items: [{ name: 'n1', role: 'voter' }, { name: 'n2' }, { name: 'n3' }],
      next_cursor: null,
    });
  });
});

describe('changes of the membership', () => {
  it.each([
    ['POST', '/cluster/members', { name: 'n4', address: 'n4:1' }, { action: 'add', address: 'n4:1' }],
    ['DELETE', '/cluster/members/n4', undefined, { action: 'remove' }],
    ['POST', '/cluster/members/n4/promote', undefined, { action: 'promote' }],
    ['POST', '/cluster/members/n4/promote', { instead_of: 'n3' }, { action: 'promote', other: 'n3' }],
    ['POST', '/cluster/members/n4/demote', { in_favour_of: 'n3' }, { action: 'demote', other: 'n3' }],
  ] as const)('%s %s reaches the leader and answers with the cluster', async (method, url, body, wanted) => {
    const { status, json } = await call(method, url, body);
    expect(status).toBe(200);
    expect(asked).toEqual([{ name: 'n4', address: '', other: '', idempotency_key: '', ...wanted }]);
    expect(json).toMatchObject({ leader: 'n1', voters: ['n1', 'n2', 'n3'] });
  });

  it.each([
    ['conflict', 409],
    ['not_found', 404],
    ['invalid', 422],
    ['too_many', 429],
  ] as const)('answer %s with %i', async (code, status) => {
    refusal = code;
    const answer = await call('DELETE', '/cluster/members/n4');
    expect(answer).toMatchObject({ status, json: { code, detail: `refused: ${code}` } });
  });

  it.each([
    ['/cluster/members', { name: 'n4' }, 'address'],
    ['/cluster/members', { name: 4, address: 'n4:1' }, 'name'],
    ['/cluster/members', { name: 'n4', address: 'n4:1', vote: true }, 'vote'],
    ['/cluster/members/n4/promote', { instead: 'n3' }, 'instead'],
    ['/cluster/transfer', { to: 4 }, 'to'],
  ])('%s with %j name what is wrong, and ask nobody', async (url, body, fault) => {
    const { status, json } = await call('POST', url, body);
    expect(status).toBe(422);
    expect(JSON.stringify(json)).toContain(fault);
    expect(asked).toEqual([]);
  });
});

describe('POST /cluster/transfer', () => {
  it('names an heir, or leaves the choice to the cluster', async () => {
    expect(await call('POST', '/cluster/transfer', { to: 'n2' })).toMatchObject({ status: 200 });
    expect(await call('POST', '/cluster/transfer')).toMatchObject({ status: 200 });
    expect(asked).toEqual(['n2', '']);
  });
});

describe('nodes that are gone', () => {
  it('are removed once they are OFFLINE, once per key', async () => {
    const refused = await call('DELETE', '/nodes/n2');
    expect(refused).toMatchObject({ status: 409, json: { code: 'conflict' } });
    expect(refused.json['detail']).toMatch(/n2 is not removed: it is AVAILABLE.*dead=true/);
    expect((await call('DELETE', '/nodes/n2?dead=true')).json['detail']).toMatch(/heard of 0 s ago/);
    cluster.silentMs.set('n2', 10_000);
    const removed = { name: 'n2', lost_attempts: 0, member: 'voter' };
    for (const _ of [1, 2])
      expect(
        await call('DELETE', '/nodes/n2?dead=true', undefined, { 'idempotency-key': 'k' }),
      ).toMatchObject({
        status: 200,
        json: removed,
      });
    expect(await call('DELETE', '/nodes/n2')).toMatchObject({ status: 404, json: { code: 'not_found' } });
  });

  it.each([
    ['dead=maybe', 'dead', 'true or false'],
    ['daed=true', 'daed', 'did you mean dead?'],
  ])('are not removed with ?%s', async (query, path, message) => {
    expect(await call('DELETE', `/nodes/n2?${query}`)).toMatchObject({
      status: 400,
      json: { code: 'malformed', faults: [{ path, message: expect.stringContaining(message) }] },
    });
  });
});
