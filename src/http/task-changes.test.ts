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

async function call(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const payload = body === undefined ? {} : { payload: body as object };
  const response = await server.app.inject({ method, url, headers, ...payload });
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

async function submit(more: object = {}): Promise<string> {
  return (await call('POST', '/tasks', { command: ['true'], ...more })).json['id'] as string;
}

describe('POST /tasks/{id}/retry', () => {
  it('begins a task anew that is over, also by a prefix of its id and without a body', async () => {
    const id = await submit();
    await call('DELETE', `/tasks/${id}`);
    const { status, json } = await call('POST', `/tasks/${id.slice(0, -2)}/retry`);
    expect({ status, json }).toMatchObject({
      status: 200,
      json: { id, status: 'PENDING', finished_at: null },
    });
    const withType = { 'content-type': 'application/json' };
    await call('DELETE', `/tasks/${id}`);
    const response = await server.app.inject({
      method: 'POST',
      url: `/tasks/${id}/retry`,
      headers: withType,
    });
    expect(response.statusCode).toBe(200);
  });

  it('is 409 with the reason for one that is not over, and happens once for a key', async () => {
    const id = await submit();
    expect(await call('POST', `/tasks/${id}/retry`)).toMatchObject({
      status: 409,
      json: { code: 'conflict', detail: `${id} is PENDING: only what is over can be begun anew` },
    });
    await call('DELETE', `/tasks/${id}`);
    const key = { 'idempotency-key': 'k' };
    expect((await call('POST', `/tasks/${id}/retry`, {}, key)).status).toBe(200);
    await call('DELETE', `/tasks/${id}`);
    // The answer to the first, not another beginning.
    expect(await call('POST', `/tasks/${id}/retry`, {}, key)).toMatchObject({
      status: 200,
      json: { status: 'CANCELLED' },
    });
    expect((await call('POST', '/tasks/task-none/retry')).status).toBe(404);
    expect((await call('POST', `/tasks/${id}/retry`, { now: true })).status).toBe(422);
    expect((await call('GET', `/tasks/${id}/retry`)).status).toBe(405);
  });
});

describe('PATCH /tasks/{id}', () => {
  it('changes priority and labels of a task that waits; lists find it by its new labels', async () => {
    const id = await submit({ labels: { team: 'data', draft: 'yes' } });
    const changes = { priority: 'high', labels: { draft: null, team: 'web', more: '' } };
    expect(await call('PATCH', `/tasks/${id}`, changes)).toMatchObject({
      status: 200,
      json: { id, priority: 'high', labels: { team: 'web', more: '' } },
    });
    const found = async (label: string) =>
      ((await call('GET', `/tasks?label=${label}`)).json['items'] as []).length;
    expect([await found('team%3Dweb'), await found('team%3Ddata'), await found('draft%3Dyes')]).toEqual([
      1, 0, 0,
    ]);
  });

  it('says from when on it may run, or at once', async () => {
    const id = await submit();
    const later = '2036-01-01T00:00:00.000Z';
    expect(await call('PATCH', `/tasks/${id}`, { not_before: later })).toMatchObject({
      status: 200,
      json: { not_before: later, status: 'PENDING', status_reason: `not before ${later}` },
    });
    expect(await call('PATCH', `/tasks/${id}`, { not_before: null })).toMatchObject({
      status: 200,
      json: { not_before: null, status: 'PENDING' },
    });
  });

  it('is 409 with the reason for one that does not wait, and once for a key', async () => {
    const id = await submit();
    const key = { 'idempotency-key': 'k' };
    await call('PATCH', `/tasks/${id}`, { priority: 'low' }, key);
    await call('PATCH', `/tasks/${id}`, { priority: 'high' });
    expect(await call('PATCH', `/tasks/${id}`, { priority: 'low' }, key)).toMatchObject({
      status: 200,
      json: { priority: 'high' },
    });
    expect(await call('PATCH', `/tasks/${id}`, { priority: 'normal' }, key)).toMatchObject({
      status: 409,
      json: { code: 'idempotency_conflict' },
    });
    cluster.assign(id, 'n1');
    expect(await call('PATCH', `/tasks/${id}`, { priority: 'low' })).toMatchObject({
      status: 409,
      json: { detail: `${id} is ASSIGNED: it can be changed only while it waits for its turn` },
    });
  });

  it.each([
    [{}, '', 'nothing is to be changed'],
    [{ labels: {} }, '', 'nothing is to be changed'],
    [{ priority: 'urgent' }, 'priority', 'one of critical, high, normal, low'],
    [{ priorty: 'high' }, 'priorty', 'did you mean priority?'],
    [{ not_before: 'tomorrow' }, 'not_before', 'is not allowed: a time such as'],
    [{ labels: { a: 1 } }, 'labels.a', 'must be a string'],
    [{ labels: { '-': 'x' } }, 'labels["-"]', 'is not a name'],
    [{ labels: ['a'] }, 'labels', 'must map names to strings'],
    [[], '', 'must be an object'],
  ])('%j is invalid', async (body, path, message) => {
    const id = await submit();
    expect(await call('PATCH', `/tasks/${id}`, body)).toMatchObject({
      status: 422,
      json: { code: 'invalid', faults: [{ path, message: expect.stringContaining(message) }] },
    });
  });
});
