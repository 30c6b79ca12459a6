import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import type { EventsRequest } from '../generated/cluster.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { specOf } from '../scheduler/core/testing/values.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

let cluster: TestCluster;
let server: HttpServer;
let asked: EventsRequest[];
let replaced: ClusterOperations['watchEvents'] | null;

beforeEach(() => {
  cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  asked = [];
  replaced = null;
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  const watchEvents: ClusterOperations['watchEvents'] = (request, context) => {
    asked.push(request);
    return (replaced ?? operations.watchEvents.bind(operations))(request, context);
  };
  const spied = new Proxy<ClusterOperations>(operations, {
    get: (target, name: keyof ClusterOperations) =>
      name === 'watchEvents' ? watchEvents : target[name].bind(target),
  });
  server = createHttpServer({
    operations: spied,
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
  });
});

afterEach(async () => {
  await server.close(0);
});

function submit(): string {
  const tasks = [specOf({ name: 'job' })];
  const outcome = cluster.execute({ type: 'submitTasks', tasks, idempotency: null });
  if (outcome.type !== 'done') throw new Error(outcome.message);
  return (outcome.result as { taskIds: readonly string[] }).taskIds[0] ?? '';
}

async function get(url: string, headers: Record<string, string> = {}) {
  const response = await server.app.inject({ method: 'GET', url, headers });
  return { status: response.statusCode, headers: response.headers, text: response.body };
}

/** Reads until the text holds it. */
async function until(reader: ReadableStreamDefaultReader<Uint8Array>, wanted: string): Promise<string> {
  let text = '';
  while (!text.includes(wanted)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`it ended before: ${text}`);
    text += Buffer.from(value).toString();
  }
  return text;
}

async function follow(url: string, headers: Record<string, string> = {}) {
  const address = await server.listen('127.0.0.1:0');
  const controller = new AbortController();
  const response = await fetch(`http://${address}${url}`, { headers, signal: controller.signal });
  const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  return { response, reader, controller };
}

describe('GET /events', () => {
  it('is a stream of server-sent events, each with its position as id, from now on', async () => {
    submit();
    const { response, reader, controller } = await follow('/events');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const begun = cluster.index;
    expect(await until(reader, `\nid: ${begun}\n\n`)).toBe(`retry: 1000\n\n: ${begun}\nid: ${begun}\n\n`);
    const id = submit();
    const event = {
      index: begun + 1,
      position: 0,
      time: new Date(cluster.nowMs).toISOString(),
      kind: 'task',
      id,
      name: 'job',
      old_status: null,
      new_status: 'PENDING',
      reason: null,
    };
    expect(await until(reader, `: ${begun + 1}\n`)).toBe(
      `id: ${begun + 1}.0\ndata: ${JSON.stringify(event)}\n\n: ${begun + 1}\nid: ${begun + 1}\n\n`,
    );
    controller.abort();
  });

  it('goes on after Last-Event-ID, whatever the URL began with', async () => {
    const first = submit();
    const second = submit();
    const { reader, controller } = await follow('/events?since=oldest&kind=task&id=a&id=' + second, {
      'last-event-id': `${cluster.index - 1}.0`,
    });
    const text = await until(reader, second);
    expect(text).not.toContain(first);
    expect(asked).toEqual([
      { since: `${cluster.index - 1}.0`, follow: true, kind: ['task'], id: ['a', second] },
    ]);
    controller.abort();
  });

  it('ends where it is not to be followed', async () => {
    const id = submit();
    replaced = async function* () {
      yield { events: [], position: '7', complete: true };
    };
    expect((await get('/events?follow=false')).text).toBe('retry: 1000\n\n: 7\nid: 7\n\n');
    expect(id).not.toBe('');
  });

  it.each([
    ['/events?since=yesterday', 400, 'since'],
    ['/events?kind=tasks', 400, 'kind'],
    ['/events?from=3', 400, 'from'],
    ['/events?follow=maybe', 400, 'follow'],
  ])('%s is malformed', async (url, status, path) => {
    const answer = await get(url);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'malformed', faults: [{ path }] });
  });

  it('answers 410 with the code where the position is kept no longer', async () => {
    replaced = () => {
      throw new JarvisError('compacted', 'gone');
    };
    const answer = await get('/events?since=1');
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(JSON.parse(answer.text)).toMatchObject({ status: 410, code: 'compacted' });
  });

  it('tells what ends it in the middle as an event of its own', async () => {
    replaced = async function* () {
      yield { events: [], position: '7', complete: false };
      throw new JarvisError('compacted', 'gone');
    };
    expect((await get('/events')).text).toMatch(/id: 7\n\nevent: error\ndata: {.*"status":410.*}\n\n$/);
  });

  it('has no HEAD, which would never end', async () => {
    const response = await server.app.inject({ method: 'HEAD', url: '/events' });
    expect(response.statusCode).toBe(405);
  });

  it('lets the stream go with its reader', async () => {
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
    replaced = async function* (_request, { signal }) {
      signal.addEventListener('abort', () => leave());
      yield { events: [], position: '7', complete: false };
      await gone;
    };
    const { reader, controller } = await follow('/events');
    await until(reader, 'id: 7');
    controller.abort();
    await expect(gone).resolves.toBeUndefined();
  });
});
