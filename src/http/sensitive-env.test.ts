import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import { createHttpServer, type HttpServer } from './server.ts';

const CANARY = 'canary-4711';
const env = { SHOWN: 'v', TOKEN: { value: CANARY, sensitive: true } };
const task = { name: 'a', command: ['true'], env };

let cluster: TestCluster;
let server: HttpServer;
/** Everything that was answered. */
let answered: string;

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  server = createHttpServer({ operations, readiness: () => ({ ready: true, reason: '' }), log: silentLog });
  answered = '';
});

afterEach(async () => {
  await server.close(0);
});

async function call(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  url: string,
  body?: object,
  headers: Record<string, string> = {},
) {
  const payload = body === undefined ? {} : { payload: body };
  const response = await server.app.inject({ method, url, headers, ...payload });
  answered += JSON.stringify(response.headers) + response.body;
  return { status: response.statusCode, json: response.json<Record<string, unknown>>() };
}

function environments(): readonly (readonly (readonly [string, string])[])[] {
  return [...cluster.rows].flatMap(([key, row]) =>
    key.startsWith('spec/') && 'spec' in row
      ? [(row.spec as { env: readonly (readonly [string, string])[] }).env]
      : [],
  );
}

describe('the value of a sensitive variable', () => {
  it('is kept for the task and in no answer about it', async () => {
    const { status, json } = await call('POST', '/tasks', task);
    expect(status).toBe(201);
    expect(json['env']).toEqual({ SHOWN: 'v', TOKEN: { sensitive: true } });
    const id = String(json['id']);
    for (const url of [`/tasks/${id}`, '/tasks', `/tasks/${id}/explain`, '/nodes', '/cluster']) {
      expect((await call('GET', url)).status).toBe(200);
    }
    await call('POST', '/plan', task);
    await call('PATCH', `/tasks/${id}`, { priority: 'high' });
    await call('DELETE', `/tasks/${id}`);
    expect((await call('POST', `/tasks/${id}/retry`)).json['env']).toEqual(json['env']);
    expect(answered).not.toContain(CANARY);
    // What is begun anew has it still.
    expect(environments()).toEqual([
      [
        ['SHOWN', 'v'],
        ['TOKEN', CANARY],
      ],
    ]);
  });

  it('is in no answer about batches and DAGs', async () => {
    for (const [url, list, body] of [
      ['/tasks/batch', '/batches', { kind: 'Batch', name: 'b', tasks: [task, { ...task, name: 'c' }] }],
      ['/tasks/batch', '/batches', { kind: 'Batch', name: 'b', template: task, count: 2 }],
      ['/tasks/dag', '/dags', { kind: 'Dag', name: 'd', tasks: [{ id: 'x', ...task }] }],
    ] as const) {
      const { status, json } = await call('POST', url, body);
      expect(status).toBe(201);
      const id = String(json['batch_id'] ?? json['dag_id'] ?? json['id']);
      expect((await call('GET', `${list}/${id}`)).status).toBe(200);
    }
    const { json } = await call('GET', '/tasks');
    const items = json['items'] as readonly { readonly env: object }[];
    expect(items.length).toBeGreaterThanOrEqual(2);
    for (const item of items) expect(item.env).toEqual({ SHOWN: 'v', TOKEN: { sensitive: true } });
    expect(answered).not.toContain(CANARY);
  });

  it('is part of what an idempotency key stands for', async () => {
    const key = { 'idempotency-key': 'k' };
    const first = await call('POST', '/tasks', task, key);
    expect((await call('POST', '/tasks', task, key)).json['id']).toBe(first.json['id']);
    const other = { ...task, env: { ...env, TOKEN: { value: 'canary-other', sensitive: true } } };
    expect((await call('POST', '/tasks', other, key)).status).toBe(409);
    const shown = { ...task, env: { ...env, TOKEN: CANARY } };
    expect((await call('POST', '/tasks', shown, key)).status).toBe(409);
    expect(answered).not.toContain('canary');
  });

  it('is missed where an answer is sent back as a task, and not taken for empty', async () => {
    const { json } = await call('POST', '/tasks', task);
    const { name, command, env: shown } = json;
    const again = await call('POST', '/tasks', { name, command, env: shown });
    expect(again.status).toBe(422);
    expect(again.json['detail']).toContain('env.TOKEN.value: is required: the values of sensitive variables');
  });

  it('is not repeated by an answer that refuses it', async () => {
    for (const wrong of [
      { ...task, nmae: 'x' },
      { ...task, command: 7 },
      { ...task, env: { ...env, '1': CANARY } },
    ])
      expect((await call('POST', '/tasks', wrong)).status).toBe(422);
    const broken = await server.app.inject({
      method: 'POST',
      url: '/tasks',
      headers: { 'content-type': 'application/json' },
      payload: `{"env": {"TOKEN": {"value": "${CANARY}", "sensitive": true}},,`,
    });
    expect(broken.statusCode).toBe(400);
    expect(answered + broken.body).not.toContain(CANARY);
  });

  it.each([
    ['/tasks', '{"command":["true"],"env":{"T":{"value":98765432109876543210,"sensitive":true}}}'],
    ['/tasks', '{"command":["true"],"env":{"T":98765432109876543210}}'],
    ['/tasks/dag', '{"name":"d","tasks":[{"id":"a","env":{"T":{"value":98765432109876543210}}}]}'],
    ['/config', '{"alerts":{"webhooks":[{"url":"https://a.example","secret":98765432109876543210}]}}'],
    ['/tasks', '{"env":{"T":{"value":"9876543210'],
    ['/tasks', '{"env":{"T":{"value":9876543210x'],
  ])('is not repeated where JSON does not keep it, or is none: %s %s', async (url, payload) => {
    const { statusCode, body } = await server.app.inject({
      method: url === '/config' ? 'PUT' : 'POST',
      url,
      headers: { 'content-type': 'application/json' },
      payload,
    });
    expect([400, 422]).toContain(statusCode);
    expect(body).not.toContain('98765');
    expect(body).not.toContain('43210');
  });
});
