import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { limits } from '../../lib/limits.ts';
import { materialOf, newAuthority } from '../../lib/testing/tls.test-kit.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { post } from './post.ts';
import { webhookSender } from './webhooks.ts';

const TIMEOUT_MS = 10_000;
/** In whole seconds, as a date in a header. */
const NOW_MS = Math.floor(new VirtualClock().wallMs() / 1000) * 1000;
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function served(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listening(createServer(listener))}/hook`;
}

function sent(url: string, changes: Partial<Parameters<typeof post>[0]> = {}) {
  const { signal } = new AbortController();
  const options = { url, body: '{}', headers: {}, timeoutMs: TIMEOUT_MS, clock: new VirtualClock(), signal };
  return post({ ...options, ...changes });
}

describe('a request to a webhook', () => {
  it('is taken by whoever answers with a 2xx', async () => {
    const seen: string[] = [];
    const url = await served((request, response) => {
      seen.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers['content-type'] ?? ''}`);
      response.writeHead(204).end();
    });
    expect(await sent(url)).toEqual({ failure: null, status: 204, retryAfterMs: null });
    expect(seen).toEqual(['POST /hook application/json; charset=utf-8']);
  });

  it('has failed where the answer is another, and says when it may be made again', async () => {
    const url = await served((_request, response) => {
      response.writeHead(429, { 'retry-after': '30' }).end('secret words of the receiver');
    });
    expect(await sent(url)).toEqual({ failure: 'answered 429', status: 429, retryAfterMs: 30_000 });
  });

  it.each([
    ['0', 0],
    ['600', 600_000],
    ['86400', limits.alertRetryMostMs],
    ['9'.repeat(400), limits.alertRetryMostMs],
    [new Date(NOW_MS - 60_000).toUTCString(), 0],
    [new Date(NOW_MS + 30_000).toUTCString(), 30_000],
    [new Date(NOW_MS + 86_400_000).toUTCString(), limits.alertRetryMostMs],
    ['long ago GMT', null],
    ['soon', null],
    ['-5', null],
  ])('has failed until %s', async (asked, retryAfterMs) => {
    const url = await served((_request, response) => {
      response.writeHead(503, { 'retry-after': asked }).end();
    });
    expect(await sent(url)).toEqual({ failure: 'answered 503', status: 503, retryAfterMs });
  });

  it('follows no redirect', async () => {
    let others = 0;
    const other = await served((_request, response) => {
      others += 1;
      response.end();
    });
    const url = await served((_request, response) => response.writeHead(307, { location: other }).end());
    expect(await sent(url)).toMatchObject({
      failure: 'answered 307 (redirects are not followed)',
      status: 307,
    });
    expect(others).toBe(0);
  });

  it('has failed where nobody listens, or the connection breaks', async () => {
    const url = await served((request) => request.socket.destroy());
    expect(await sent(url)).toMatchObject({ failure: 'socket hang up', status: null });
    const port = new URL(url).port;
    const [server] = servers.splice(0);
    server?.close();
    if (server !== undefined) await once(server, 'close');
    expect(await sent(url)).toMatchObject({
      failure: `connect ECONNREFUSED 127.0.0.1:${port}`,
      status: null,
    });
  });

  it('waits so long for an answer, and no longer, also where it only trickles', async () => {
    const clock = new VirtualClock();
    const arrived = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const url = await served((request, response) => {
      response.on('close', () => closed.resolve());
      response.writeProcessing();
      request.resume();
      arrived.resolve();
    });
    const outcome = sent(url, { clock });
    await arrived.promise;
    await clock.advance(TIMEOUT_MS);
    expect(await outcome).toEqual({ failure: 'no answer within 10 s', status: null, retryAfterMs: null });
    await closed.promise;
  });

  it('reads nothing of an answer but its head', async () => {
    const closed = Promise.withResolvers<void>();
    const url = await served((_request, response) => {
      response.on('close', () => closed.resolve());
      // Without an end.
      response.writeHead(200).write('x'.repeat(1000));
    });
    expect(await sent(url)).toMatchObject({ failure: null, status: 200 });
    await closed.promise;
  });

  it('ends at once where it is interrupted, or was before', async () => {
    const arrived = Promise.withResolvers<void>();
    const url = await served(() => arrived.resolve());
    const stopping = new AbortController();
    const outcome = sent(url, { signal: stopping.signal });
    await arrived.promise;
    stopping.abort();
    expect(await outcome).toMatchObject({ failure: 'interrupted' });
    expect(await sent(url, { signal: stopping.signal })).toMatchObject({ failure: 'interrupted' });
  });

  it('goes to nobody over TLS whose certificate does not stand up to a look', async () => {
    const authority = await newAuthority();
    const node = { kind: 'node', name: 'n1' } as const;
    const { certificatePem, keyPem } = await materialOf(authority, node, { hosts: ['127.0.0.1'] });
    let requests = 0;
    const server = createTlsServer({ cert: certificatePem, key: keyPem }, (_request, response) => {
      requests += 1;
      response.end();
    });
    const port = await listening(server);
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      const { failure } = await sent(`https://127.0.0.1:${port}/hook`);
      expect(failure).toMatch(/unable to verify|self-signed|issuer certificate/);
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    }
    expect(requests).toBe(0);
  });
});

describe('a message to a webhook', () => {
  it('has its id, its event and a signature in its head', async () => {
    const clock = new VirtualClock();
    const seen: { headers: IncomingHttpHeaders; body: string }[] = [];
    const url = await served((request, response) => {
      const chunks: string[] = [];
      request.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
      request.on('end', () => {
        seen.push({ headers: request.headers, body: chunks.join('') });
        response.end();
      });
    });
    const send = webhookSender({ clock, version: '1.2.3' });
    const message = {
      id: 'alert-1',
      event: 'node.offline',
      clusterId: 'c',
      createdAtMs: clock.wallMs(),
      count: 0,
      occurrences: [],
    } as const;
    const webhook = { url, events: [], secret: 'größe' };
    const { signal } = new AbortController();
    expect(await send({ webhook, message, attempt: 3, signal })).toMatchObject({ failure: null });
    const [{ headers, body } = { headers: {}, body: '' }] = seen;
    expect(headers).toMatchObject({
      'user-agent': 'jarvis/1.2.3',
      'jarvis-alert-id': 'alert-1',
      'jarvis-event': 'node.offline',
      'jarvis-attempt': '3',
    });
    expect(JSON.parse(body)).toMatchObject({ id: 'alert-1' });
    // As a receiver checks it.
    const [, time = '', digest = ''] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['jarvis-signature'])) ?? [];
    expect(createHmac('sha256', 'größe').update(`${time}.${body}`).digest('hex')).toBe(digest);
    expect(Number(time) * 1000).toBe(clock.wallMs());
    await send({ webhook: { ...webhook, secret: null }, message, attempt: 4, signal });
    expect(seen[1]?.headers['jarvis-signature']).toBeUndefined();
  });
});
