import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import type { EventsPiece, SnapshotPiece } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { splitAddress } from '../lib/address.ts';
import { limits } from '../lib/limits.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { ConnectionBounds } from './connections.ts';
import { answerTo, ask, closed, open, postHead, SCHEMES, serve } from './listeners.test-kit.ts';

const PIECE: EventsPiece = {
  events: [{ index: 1, position: 0, time: '', kind: 'task', id: 'x'.repeat(60_000), name: '' }],
  position: '1.0',
  complete: false,
};
const CHUNK: LogChunk = { stream: 'stdout', at_ms: 1, data: Buffer.alloc(60_000, 'x') };
const BYTES: SnapshotPiece = { data: Buffer.alloc(60_000) };

/** Messages without end. @param ended told how many of them were asked for, when it is ended */
async function* endless<T>(message: T, ended: (asked: number) => void): AsyncGenerator<T> {
  let asked = 0;
  try {
    for (;;) {
      asked += 1;
      yield message;
    }
  } finally {
    ended(asked);
  }
}

type Streams = (ended: (asked: number) => void) => Partial<ClusterOperations>;

describe.each(SCHEMES)('connections over %s', (scheme) => {
  const start = async (
    bounds: Partial<ConnectionBounds>,
    replaced: Partial<ClusterOperations> = {},
  ): Promise<string> => (await serve(scheme, { bounds }, replaced)).address;

  it('that say nothing, 2,000 of them, leave the server answering, and are closed in the end', async () => {
    const address = await start({ headersTimeoutMs: 1500, checkIntervalMs: 100 });
    const idle: Socket[] = [];
    // No more at a time than the kernel holds until they are taken.
    while (idle.length < 2000)
      idle.push(...(await Promise.all(Array.from({ length: 200 }, async () => await open(scheme, address)))));
    const gone = idle.map(closed);
    expect(await ask(scheme, address, '/healthz')).toContain('200 OK');
    await Promise.all(gone);
    expect(await ask(scheme, address, '/healthz')).toContain('200 OK');
  }, 60_000);

  it('that stop in the middle of their headers are told so, and closed', async () => {
    const address = await start({ headersTimeoutMs: 200, checkIntervalMs: 50 });
    const answer = await answerTo(scheme, address, 'GET /tasks HTTP/1.1\r\nHost: localhost\r\n');
    expect(answer).toContain('408 Request Timeout');
    expect(answer).toContain('application/problem+json');
  });

  it('that stop in the middle of a body are told so, and closed', async () => {
    const address = await start({ requestTimeoutMs: 300, headersTimeoutMs: 200, checkIntervalMs: 50 });
    const answer = await answerTo(scheme, address, `${postHead(100)}\r\n{"command":`);
    expect(answer).toContain('408 Request Timeout');
    expect(answer).toContain('"code":"timeout"');
  });

  it('with headers beyond all measure are told so, and closed', async () => {
    const address = await start({});
    const request = `GET /tasks HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`;
    const answer = await answerTo(scheme, address, request);
    expect(answer).toContain('431 Request Header Fields Too Large');
    expect(answer).toContain('"status":431');
  });

  it.each([
    '\u0000\u0001\u0002',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    '\u0016\u0003\u0001\u0002',
  ])('that speak something else are told so, and closed: %j', async (words) => {
    const address = await start({});
    expect(await answerTo(scheme, address, Buffer.from(words, 'latin1'))).toContain('400 Bad Request');
  });

  it.each<[string, Streams]>([
    ['/events', (ended) => ({ watchEvents: () => endless(PIECE, ended) })],
    ['/tasks/x/logs?follow', (ended) => ({ readLogs: () => endless(CHUNK, ended) })],
    ['/tasks/x/logs', (ended) => ({ readLogs: () => endless(CHUNK, ended) })],
    ['/snapshot', (ended) => ({ saveSnapshot: () => endless(BYTES, ended) })],
  ])('whose reader takes nothing of %s are closed, and the stream ends', async (path, streams) => {
    const { promise: over, resolve } = Promise.withResolvers<number>();
    const address = await start({ stallMs: 300 }, streams(resolve));
    const socket = await open(scheme, address);
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    // What the sockets of both ends hold, and the stream's own bound.
    expect(await over).toBeLessThan(1000);
    await closed(socket);
  });

  it('that ask and ask, and read nothing, are closed', async () => {
    let answered = 0;
    const address = await start(
      { stallMs: 300 },
      {
        version: () => {
          answered += 1;
          return { version: '0', name: 'n1', node_version: '' };
        },
      },
    );
    const socket = await open(scheme, address);
    socket.pause();
    const requests = 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100);
    const over = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
    for (let round = 0; round < 10_000 && !socket.destroyed; round += 1) {
      if (socket.write(requests)) continue;
      const drained = new Promise<void>((resolve) => {
        socket.once('drain', () => resolve());
      });
      await Promise.race([drained, over]);
    }
    await over;
    // Each is larger by far than what it takes to ask for it.
    expect(answered).toBeLessThanOrEqual(limits.httpPipelined);
    expect(await ask(scheme, address, '/healthz')).toContain('200 OK');
  });

  it('may bring several requests at once, which are answered in their order', async () => {
    const address = await start({});
    const names = Array.from({ length: limits.httpPipelined - 1 }, (_, index) => `/nothing/${index}`);
    const requests = names.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const last = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    const answer = await answerTo(scheme, address, requests.join('') + last);
    expect([...answer.matchAll(/there is nothing at ([^"]+)"/g)].map(([, path]) => path)).toEqual(names);
  });

  it('whose stream has no news stay open', async () => {
    const { promise: news, resolve } = Promise.withResolvers<void>();
    const watchEvents = async function* (): AsyncGenerator<EventsPiece> {
      yield { events: [], position: '1.0', complete: false };
      await news;
      yield { events: [], position: '2.0', complete: true };
    };
    const address = await start({ stallMs: 50, headersTimeoutMs: 300 }, { watchEvents });
    const socket = await open(scheme, address);
    socket.write(
      'GET /events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n',
    );
    let heard = '';
    socket.on('data', (piece) => (heard += String(piece)));
    await once(socket, 'data');
    // Another connection that idles for as long is closed: by then the stream had its time.
    await closed(await open(scheme, address));
    resolve();
    await once(socket, 'close');
    expect(heard).toContain('id: 2.0');
    expect(heard).not.toMatch(/content-encoding/i);
  });
});

describe('connections over HTTPS without TLS', () => {
  it('that say half of what it takes for it, 2,000 of them, are closed in the end', async () => {
    const { address } = await serve('HTTPS', { bounds: { headersTimeoutMs: 1500, checkIntervalMs: 100 } });
    const { host, port } = splitAddress(address);
    const begin = async (): Promise<Socket> => {
      const socket = connect({ host, port });
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
      return socket;
    };
    const idle: Socket[] = [];
    while (idle.length < 2000) idle.push(...(await Promise.all(Array.from({ length: 200 }, begin))));
    const gone = idle.map(closed);
    expect(await ask('HTTPS', address, '/healthz')).toContain('200 OK');
    await Promise.all(gone);
  }, 60_000);

  it.each<[string, Buffer]>([
    ['plain HTTP', Buffer.from('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['a record beyond all measure', Buffer.concat([Buffer.from('160301ffff', 'hex'), Buffer.alloc(70_000)])],
    ['zeros', Buffer.alloc(1000)],
  ])('that speak %s are closed', async (_what, words) => {
    const { address } = await serve('HTTPS');
    const { host, port } = splitAddress(address);
    const socket = connect({ host, port });
    socket.on('error', () => undefined);
    socket.write(words);
    await text(socket).catch(() => '');
    expect(socket.destroyed).toBe(true);
    expect(await ask('HTTPS', address, '/healthz')).toContain('200 OK');
  });
});
