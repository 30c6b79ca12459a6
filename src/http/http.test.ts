import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterStatus } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { ERROR_CODES, JarvisError, isErrorCode } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { LocalLogs } from '../operations/node-port.ts';
import type { ClusterOperations, Readiness } from '../operations/port.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;
let readiness: Readiness;
let logs: LocalLogs['read'];
/** What tests put in place of single operations. */
let replaced: Partial<ClusterOperations>;

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  readiness = { ready: true, reason: '' };
  replaced = {};
  logs = async function* () {};
  const operations = testOperations(cluster, 'n1', {
    remotes: inProcessRemotes(new Map()),
    localLogs: { read: (request, signal) => logs(request, signal) },
  });
  const either = new Proxy<ClusterOperations>(operations, {
    get: (target, name: keyof ClusterOperations) => replaced[name] ?? target[name].bind(target),
  });
  server = createHttpServer({ operations: either, readiness: () => readiness, log: silentLog });
});

afterEach(async () => {
  await server.close(0);
});

async function call(
  method: 'GET' | 'POST' | 'DELETE' | 'PUT' | 'HEAD',
  url: string,
  options: { body?: unknown; headers?: Record<string, string> } = {},
) {
  const response = await server.app.inject({
    method,
    url,
    ...(options.body === undefined ? {} : { payload: options.body as object }),
    ...(options.headers === undefined ? {} : { headers: options.headers }),
  });
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.body,
    get json(): Record<string, unknown> {
      return response.json();
    },
  };
}

async function submit(body: object = {}): Promise<string> {
  const { json } = await call('POST', '/tasks', { body: { command: ['true'], ...body } });
  return String(json['id']);
}

function chunk(text: string, stream = 'stdout'): LogChunk {
  return { stream, at_ms: 1, data: Buffer.from(text) };
}

/** A task that runs on n1. */
async function running(): Promise<string> {
  const id = await submit({ retry_policy: { max_attempts: 1 } });
  cluster.assign(id, 'n1');
  cluster.report(id, 'RUNNING');
  return id;
}

describe('why tasks wait', () => {
  it('is explained, and planned before they are submitted', async () => {
    const id = await submit({ resources: { cpu: 5 } });
    const reasons = [{ filter: 'resources', excluded: 1, nearest_miss: 'node n1 lacks 1000m cpu' }];
    expect((await call('GET', `/tasks/${id}/explain`)).json).toEqual({
      id,
      status: 'PENDING',
      position: 1,
      reasons,
    });
    const body = { name: 'a', command: ['true'], resources: { cpu: 5 } };
    const planned = await call('POST', '/plan', { body });
    expect(planned).toMatchObject({
      status: 200,
      json: { index: cluster.index, items: [{ name: 'a', count: 1, node: null, reasons }] },
    });
    const dag = { kind: 'Dag', name: 'd', tasks: [{ ...body, id: 'a', name: null }] };
    for (const group of [dag, [body], { kind: 'Batch', template: body, count: 1 }])
      expect(await call('POST', '/plan', { body: group })).toMatchObject({
        status: 200,
        json: { items: [{ count: 1, node: null, reasons }] },
      });
    for (const wrong of [{ command: 7 }, { kind: 'Dag' }, { kind: 'Batch' }, { kind: 'Job' }])
      expect((await call('POST', '/plan', { body: wrong })).status).toBe(422);
    expect((await call('GET', '/plan')).status).toBe(405);
  });
});

describe('tasks', () => {
  it('are submitted, read, listed and cancelled', async () => {
    const given = { name: 'a', command: ['true'], env: { K: 'v' }, labels: { team: 'x' } };
    const body = { ...given, timeout: '90s', on_node_loss: 'wait' };
    const created = await call('POST', '/tasks', { body });
    expect(created.status).toBe(201);
    const id = String(created.json['id']);
    expect(created.headers['location']).toBe(`/tasks/${id}`);
    expect(created.json).toEqual({
      ...body,
      id,
      image: null,
      working_dir: null,
      user: null,
      mounts: [],
      network: null,
      pull_policy: null,
      resources: { cpu: '100m', memory: '64Mi' },
      limits: null,
      priority: 'normal',
      timeout: 90,
      stop_grace: 10,
      retry_policy: {
        max_attempts: 3,
        backoff_strategy: 'exponential',
        backoff_base: 2,
        max_backoff: 300,
        retryable_errors: ['ConnectionTimeout', 'ServiceUnavailable', 'TemporaryFailure'],
        non_retryable_errors: ['InvalidInput', 'AuthenticationError', 'ResourceNotFound'],
      },
      not_before: null,
      concurrency: null,
      affinity: null,
      locality: null,
      status: 'PENDING',
      status_reason: null,
      attempt: 0,
      retry_count: 0,
      node: null,
      exit_code: null,
      signal: null,
      error: null,
      result: null,
      batch_id: null,
      batch_index: null,
      dag_id: null,
      dag_task: null,
      dependencies: null,
      created_at: expect.stringMatching(/Z$/),
      scheduled_at: null,
      started_at: null,
      finished_at: null,
      attempts: [],
    });
    const placement = {
      not_before: '2026-12-01T00:00:00.000Z',
      concurrency: { key: 'db', max: 3 },
      affinity: {
        required: [{ key: 'zone', operator: 'in', values: ['a'] }],
        preferred: [{ key: 'ssd', operator: 'exists', weight: 50 }],
        anti: [{ batch: 'self' }, { labels: { team: 'x' } }],
      },
      locality: { near: ['zone=a', { task: 'extract' }] },
    };
    const placed = await call('POST', '/tasks', { body: { ...given, name: 'b', ...placement } });
    expect(placed.json).toMatchObject(placement);
    await call('DELETE', `/tasks/${String(placed.json['id'])}`);
    expect((await call('GET', `/tasks/${id.slice(0, 9)}`)).json).toEqual(created.json);
    expect((await call('GET', '/tasks?status=PENDING&status=RUNNING&label=team%3Dx')).json).toEqual({
      items: [created.json],
      next_cursor: null,
    });
    const headers = { 'content-type': 'application/json' };
    const cancelled = await call('DELETE', `/tasks/${id}`, { headers });
    expect(cancelled).toMatchObject({ status: 200, json: { status: 'CANCELLED' } });
  });

  it('show their result as JSON', async () => {
    const id = await running();
    cluster.report(id, 'COMPLETED', { result: { rows: [1, 2] } });
    expect((await call('GET', `/tasks/${id}`)).json).toMatchObject({
      status: 'COMPLETED',
      exit_code: 0,
      result: { rows: [1, 2] },
    });
  });

  it('may be images', async () => {
    const mounts = [{ source: '/srv', target: '/data', read_only: true }];
    const body = { image: 'python:3.9', user: '1000', mounts, limits: { memory: '1Gi', pids: 5 } };
    const { status, json } = await call('POST', '/tasks', { body });
    expect(status).toBe(201);
    expect(json).toMatchObject({
      ...body,
      name: 'python',
      command: [],
      network: 'bridge',
      pull_policy: 'if_not_present',
      limits: { cpu: null, memory: '1Gi', pids: 5 },
      status_reason: 'no node offers a driver for images',
    });
    cluster.register('n4', 'n4:1', { drivers: ['docker'], policy: { ...DEFAULT_POLICY, users: ['app'] } });
    const refused = await call('POST', '/tasks', { body: { image: 'python:3.9', mounts } });
    expect(refused).toMatchObject({
      status: 422,
      json: { faults: [{ path: 'mounts[0]' }, { path: 'user' }] },
    });
    cluster.register('n5', 'n5:1', { drivers: ['docker'] });
    const accepted = await call('POST', '/tasks', { body: { image: 'python:3.9' } });
    expect(accepted.status).toBe(201);
    const id = String(accepted.json['id']);
    cluster.assign(id, 'n5');
    cluster.report(id, 'STARTING', { note: 'pulling python:3.9: 10 %' });
    expect((await call('GET', `/tasks/${id}`)).json).toMatchObject({
      status: 'ASSIGNED',
      status_reason: 'pulling python:3.9: 10 %',
      attempts: [{ status: 'STARTING', image_digest: null }],
    });
    cluster.report(id, 'RUNNING', { imageDigest: 'python@sha256:1' });
    expect((await call('GET', `/tasks/${id}`)).json).toMatchObject({
      status: 'RUNNING',
      status_reason: null,
      attempts: [{ image_digest: 'python@sha256:1' }],
    });
  });

  it('are made once per Idempotency-Key', async () => {
    const send = (name: string) =>
      call('POST', '/tasks', { body: { name, command: ['true'] }, headers: { 'idempotency-key': 'k' } });
    const first = await send('a');
    expect((await send('a')).json['id']).toBe(first.json['id']);
    expect(await send('b')).toMatchObject({ status: 409, json: { code: 'idempotency_conflict' } });
    const bad = await call('POST', '/tasks', { body: {}, headers: { 'idempotency-key': 'a b' } });
    expect(bad).toMatchObject({ status: 400, json: { faults: [{ path: 'Idempotency-Key' }] } });
  });

  it('are refused with every fault', async () => {
    const body = { nmae: 'a', command: [], resources: { cpu: 'lots' }, network: 'host' };
    const { status, headers, json } = await call('POST', '/tasks', { body });
    expect(status).toBe(422);
    expect(headers['content-type']).toContain('application/problem+json');
    expect(json).toMatchObject({
      type: 'about:blank',
      title: 'Unprocessable Entity',
      status: 422,
      code: 'invalid',
    });
    const paths = (json['faults'] as { path: string }[]).map((fault) => fault.path);
    expect(paths.toSorted()).toEqual(['command', 'network', 'nmae', 'resources.cpu']);
    expect(await call('POST', '/tasks', { body: [1] })).toMatchObject({ status: 422 });
  });

  it.each([
    ['{"command": ["a"', 'application/json', 400],
    ['', 'application/json', 400],
    ['{"__proto__": {}}', 'application/json', 400],
    ['command: [a]', 'application/yaml', 415],
    ['a=b', 'application/x-www-form-urlencoded', 415],
  ])('take no body like %j (%s)', async (body, type, status) => {
    const response = await call('POST', '/tasks', { body, headers: { 'content-type': type } });
    expect(response).toMatchObject({ status, json: { code: 'malformed', status } });
  });

  it('take no body over 16 MiB', async () => {
    const body = { command: ['a'.repeat(17 * 1024 * 1024)] };
    expect(await call('POST', '/tasks', { body })).toMatchObject({
      status: 413,
      json: { code: 'too_large' },
    });
  });

  it.each([
    ['/tasks?stauts=PENDING', 'stauts', 'did you mean status?'],
    ['/tasks?limit=abc', 'limit', '"abc"'],
    ['/tasks?limit=0', 'limit', '1 to 1000'],
    ['/tasks?limit=5000', 'limit', 'at most 1000'],
    ['/tasks?status=DONE', 'status', 'COMPLETED'],
    ['/tasks?node=a&node=b', 'node', 'given once'],
    ['/tasks?consistency=old', 'consistency', '"old" is not allowed: linearizable or stale'],
    ['/tasks/task-x?x=1', 'x', 'known: consistency'],
    ['/version?x=1', 'x', 'none is allowed'],
    ['/tasks/task-x/logs?follow=maybe', 'follow', 'true or false'],
    ['/tasks/task-x/logs?tail=-1', 'tail', 'whole number'],
    ['/nodes?a=b', 'a', 'known: consistency'],
  ])('take no query like %s', async (url, path, message) => {
    const response = await call('GET', url);
    expect(response).toMatchObject({
      status: 400,
      json: { code: 'malformed', faults: [{ path, message: expect.stringContaining(message) }] },
    });
  });
});

describe('nodes and the cluster', () => {
  it('are shown', async () => {
    const { json } = await call('GET', '/nodes');
    expect(json).toMatchObject({
      items: [
        {
          name: 'n1',
          status: 'AVAILABLE',
          role: 'voter',
          capacity: { cpu_millis: 4000, memory_bytes: 2 ** 32 },
          usage: { cpu_percent: 12.5 },
          active_tasks: 0,
        },
      ],
      next_cursor: null,
    });
    expect((await call('GET', '/nodes/n1')).json).toEqual((json['items'] as unknown[])[0]);
    expect(await call('GET', '/nodes/n2')).toMatchObject({ status: 404, json: { code: 'not_found' } });
    expect((await call('GET', '/cluster')).json).toMatchObject({
      cluster_id: 'c-1',
      leader: 'n1',
      voters: ['n1', 'n2', 'n3'],
      failure_tolerance: 1,
    });
    expect((await call('GET', '/version')).json).toMatchObject({ version: '0.1.0', name: 'n1' });
  });

  it('are shown as one node knows them where that is asked for', async () => {
    cluster.lead(null);
    const stale = await call('GET', '/cluster?consistency=stale');
    expect(stale).toMatchObject({
      status: 200,
      json: { leader: null, stale: true, failure_tolerance: null },
    });
    expect(await call('GET', '/cluster?consistency=old')).toMatchObject({
      status: 400,
      json: { code: 'malformed', faults: [{ path: 'consistency' }] },
    });
  });

  it('come with the refusal where there is no leader', async () => {
    const own = { cluster_id: 'c-1', leader: '', term: 4, stale: true };
    replaced.getCluster = async ({ consistency }) => {
      if (consistency !== 'stale') throw new JarvisError('no_leader', 'none at present');
      return ClusterStatus.create(own);
    };
    const refused = await call('GET', '/cluster');
    expect(refused).toMatchObject({
      status: 503,
      json: { code: 'no_leader', detail: 'none at present', cluster: { ...own, leader: null } },
    });
    expect(refused.headers['retry-after']).toBe('1');
    expect(refused.headers['content-type']).toContain('application/problem+json');
    replaced.getCluster = () => Promise.reject(new JarvisError('unavailable', 'this node is starting'));
    const starting = await call('GET', '/cluster');
    expect(starting).toMatchObject({ status: 503, json: { detail: 'this node is starting' } });
    expect(starting.json).not.toHaveProperty('cluster');
  });
});

describe('health', () => {
  it('tells alive from ready', async () => {
    expect((await call('GET', '/healthz')).status).toBe(200);
    expect((await call('HEAD', '/readyz')).status).toBe(200);
    readiness = { ready: false, reason: 'no leader yet' };
    expect((await call('GET', '/healthz')).status).toBe(200);
    const response = await call('GET', '/readyz');
    expect(response).toMatchObject({ status: 503, json: { code: 'unavailable', detail: 'no leader yet' } });
    expect(response.headers['retry-after']).toBe('1');
  });
});

describe('failures', () => {
  it.each(Object.keys(ERROR_CODES).filter(isErrorCode))(
    'of code %s have its status',
    async (code: ErrorCode) => {
      replaced.getTask = () => Promise.reject(new JarvisError(code, 'why'));
      const response = await call('GET', '/tasks/task-x');
      expect(response).toMatchObject({ status: ERROR_CODES[code].http, json: { code, detail: 'why' } });
      expect(response.headers['retry-after']).toBe(response.status === 503 ? '1' : undefined);
    },
  );

  it('that are bugs are 500', async () => {
    replaced.getTask = () => Promise.reject(new TypeError('oops'));
    expect(await call('GET', '/tasks/task-x')).toMatchObject({ status: 500, json: { code: 'internal' } });
  });

  it('of paths and methods are problems too', async () => {
    expect(await call('GET', '/nothing')).toMatchObject({ status: 404, json: { code: 'not_found' } });
    expect(await call('GET', '/tasks/task-x/nothing')).toMatchObject({ status: 404 });
    expect(await call('GET', '/tasks/%E0%A4%A')).toMatchObject({ status: 400, json: { code: 'malformed' } });
    const response = await call('PUT', '/tasks', { body: { a: 1 } });
    expect(response).toMatchObject({
      status: 405,
      headers: { allow: 'POST, GET, HEAD' },
      json: { status: 405 },
    });
    expect(await call('PUT', '/nodes/n1')).toMatchObject({ status: 405 });
  });
});

describe('logs', () => {
  it('are text, both streams as they came', async () => {
    const id = await running();
    logs = async function* ({ tail, stream, since_ms: sinceMs }) {
      expect({ tail, stream, sinceMs }).toEqual({ tail: 2, stream: '', sinceMs: 0 });
      yield chunk('out\n');
      yield chunk('err ü\n', 'stderr');
    };
    const response = await call('GET', `/tasks/${id}/logs?tail=2&since=1970-01-01T00:00:00Z`);
    expect(response).toMatchObject({ status: 200, text: 'out\nerr ü\n' });
    expect(response.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it('fail like anything else', async () => {
    expect(await call('GET', '/tasks/task-x/logs')).toMatchObject({ status: 404 });
    const id = await running();
    expect(await call('GET', `/tasks/${id}/logs?attempt=7`)).toMatchObject({ status: 404 });
    expect(await call('GET', `/tasks/${id}/logs?stream=x`)).toMatchObject({ status: 400 });
    expect(await call('HEAD', `/tasks/${id}/logs`)).toMatchObject({ status: 405 });
  });

  it('that are gone come with what the cluster keeps', async () => {
    const id = await running();
    cluster.report(id, 'FAILED', { exitCode: 1, logTail: 'the end' });
    cluster.execute({ type: 'nodeOffline', node: 'n1', session: cluster.session('n1'), term: cluster.term });
    logs = () => {
      throw new JarvisError('unavailable', 'down');
    };
    expect(await call('GET', `/tasks/${id}/logs`)).toMatchObject({
      status: 410,
      json: { code: 'logs_unavailable', log_tail: 'the end' },
    });
  });

  it('are followed in chunks, until the client goes', async () => {
    const id = await running();
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
    logs = async function* (_request, signal) {
      yield chunk('first');
      signal.addEventListener('abort', () => leave());
      await gone;
    };
    const address = await server.listen('127.0.0.1:0');
    const controller = new AbortController();
    const response = await fetch(`http://${address}/tasks/${id}/logs?follow=true`, {
      signal: controller.signal,
    });
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('first');
    controller.abort();
    await gone;
  });

  it('that break off cut the connection', async () => {
    const id = await running();
    replaced.readLogs = async function* () {
      yield chunk('x'.repeat(128 * 1024));
      throw new JarvisError('logs_unavailable', 'gone');
    };
    const address = await server.listen('127.0.0.1:0');
    const response = await fetch(`http://${address}/tasks/${id}/logs`);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toBeInstanceOf(TypeError);
  });
});

describe('the server', () => {
  it('names an address that is in use', async () => {
    const address = await server.listen('127.0.0.1:0');
    const second = createHttpServer({
      operations: {} as ClusterOperations,
      readiness: () => readiness,
      log: silentLog,
    });
    await expect(second.listen(address)).rejects.toMatchObject({
      code: 'conflict',
      message: `cannot listen on ${address}: the port is in use`,
    });
    await second.close(0);
  });

  it('ends streams when it closes', async () => {
    const id = await running();
    logs = async function* (_request, signal) {
      yield chunk('first');
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve());
      });
    };
    const address = await server.listen('127.0.0.1:0');
    const response = await fetch(`http://${address}/tasks/${id}/logs?follow`);
    await Promise.all([server.close(10_000), expect(response.text()).rejects.toBeInstanceOf(TypeError)]);
  });
});
