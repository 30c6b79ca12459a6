import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

import { afterEach, describe, expect, it } from 'vitest';

import type { EventsPiece } from '../generated/cluster.ts';
import { splitAddress } from '../lib/address.ts';
import { silentLog } from '../lib/log.ts';
import { TestCluster, inProcessRemotes, testOperations } from '../operations/operations.test-kit.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

const servers: HttpServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map(async (server) => await server.close(0)));
});

async function serve(
  bounds: NonNullable<Parameters<typeof createHttpServer>[0]['bounds']>,
  replaced: Partial<ClusterOperations> = {},
): Promise<string> {
  const cluster = new TestCluster(['n1']);
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  const server = createHttpServer({
    operations: new Proxy<ClusterOperations>(operations, {
      get: (target, name: keyof ClusterOperations) => replaced[name] ?? target[name].bind(target),
    }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
    bounds,
  });
  servers.push(server);
  return await server.listen('127.0.0.1:0');
}

async function open(address: string): Promise<Socket> {
  const { host, port } = splitAddress(address);
  const socket = connect({ host, port });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, 'close');
}

async function ask(address: string, path: string): Promise<string> {
  const socket = await open(address);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  return await text(socket);
}

describe('connections', () => {
  it('that say nothing, 2,000 of them, leave the server answering, and are closed in the end', async () => {
    const address = await serve({ headersTimeoutMs: 1500, checkIntervalMs: 100 });
    const idle: Socket[] = [];
    // No more at a time than the kernel holds until they are taken.
    while (idle.length < 2000)
      idle.push(...(await Promise.all(Array.from({ length: 200 }, async () => await open(address)))));
    const gone = idle.map(closed);
    expect(await ask(address, '/healthz')).toContain('200 OK');
    await Promise.all(gone);
    expect(await ask(address, '/healthz')).toContain('200 OK');
  });

  it('that stop in the middle of their headers are told so, and closed', async () => {
    const address = await serve({ headersTimeoutMs: 200, checkIntervalMs: 50 });
    const socket = await open(address);
    socket.write('GET /tasks HTTP/1.1\r\nHost: localhost\r\n');
    const answer = await text(socket);
    expect(answer).toContain('408 Request Timeout');
    expect(answer).toContain('application/problem+json');
  });

  it('with headers beyond all measure are told so, and closed', async () => {
    const address = await serve({});
    const socket = await open(address);
    socket.write(`GET /tasks HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`);
    const answer = await text(socket);
    expect(answer).toContain('431 Request Header Fields Too Large');
    expect(answer).toContain('"status":431');
  });

  it.each([
    '\u0000\u0001\u0002',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    '\u0016\u0003\u0001\u0002',
  ])('that speak something else are told so, and closed: %j', async (words) => {
    const address = await serve({});
    const socket = await open(address);
    socket.write(words, 'latin1');
    expect(await text(socket)).toContain('400 Bad Request');
  });

  it('whose reader takes nothing of a stream are closed, and the stream ends', async () => {
    const { promise: over, resolve } = Promise.withResolvers<number>();
    const watchEvents = async function* (): AsyncGenerator<EventsPiece> {
      let pieces = 0;
      const event = { index: 1, position: 0, time: '', kind: 'task', id: 'x'.repeat(60_000), name: '' };
      try {
        for (;;) {
          pieces += 1;
          yield { events: [event], position: '1.0', complete: false };
        }
      } finally {
        resolve(pieces);
      }
    };
    const address = await serve({ stallMs: 300 }, { watchEvents });
    const socket = await open(address);
    socket.pause();
    socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const pieces = await over;
    // What the sockets of both ends hold, and the stream's own bound.
    expect(pieces).toBeLessThan(1000);
    await closed(socket);
  });

  it('whose stream has no news stay open', async () => {
    const { promise: news, resolve } = Promise.withResolvers<void>();
    const watchEvents = async function* (): AsyncGenerator<EventsPiece> {
      yield { events: [], position: '1.0', complete: false };
      await news;
      yield { events: [], position: '2.0', complete: true };
    };
    const address = await serve({ stallMs: 50, headersTimeoutMs: 300 }, { watchEvents });
    const socket = await open(address);
    socket.write(
      'GET /events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n',
    );
    let heard = '';
    socket.on('data', (piece) => (heard += String(piece)));
    await once(socket, 'data');
    // Another connection that idles for as long is closed: by then the stream had its time.
    await closed(await open(address));
    resolve();
    await once(socket, 'close');
    expect(heard).toContain('id: 2.0');
    expect(heard).not.toMatch(/content-encoding/i);
  });
});
