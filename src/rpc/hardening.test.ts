import { once } from 'node:events';
import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';

import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterService, LabelNodeRequest, Task, TaskRequest } from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { seededRandom } from '../lib/random.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { clusterService } from './cluster-service.ts';
import { framed, RawClient, rawSocket } from './raw-grpc.test-kit.ts';
import type { RpcServer } from './server.ts';
import { createServer } from './server.ts';

const GET_TASK = ClusterService.getTask.path;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const FRAME = { data: 0, headers: 1, resetStream: 3, settings: 4, ping: 6, continuation: 9 } as const;

let server: RpcServer;
let opened: (RawClient | Socket)[];
let ids: string[];

beforeEach(async () => {
  ids = [];
  const operations: Partial<ClusterOperations> = {
    getTask: (request) => {
      ids.push(request.id);
      return Promise.resolve(Task.create({ id: request.id.slice(0, 32) }));
    },
  };
  const services = [clusterService(operations as ClusterOperations, silentLog)];
  server = await createServer({ listen: '127.0.0.1:0', services });
  opened = [];
});

afterEach(async () => {
  for (const client of opened)
    if (client instanceof RawClient) await client.close();
    else client.destroy();
  await server.close(0);
});

async function client(): Promise<RawClient> {
  const made = await RawClient.connect(server.address);
  opened.push(made);
  return made;
}

async function socket(): Promise<Socket> {
  const made = await rawSocket(server.address);
  opened.push(made);
  return made;
}

function taskRequest(id: string): Uint8Array {
  return TaskRequest.encode({ id }).finish();
}

/** The status of a call that nothing is wrong with. */
async function usual(by: RawClient): Promise<number | undefined> {
  return (await by.send(GET_TASK, framed(taskRequest('x')))).status;
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

describe('a message', () => {
  it('that is too large is refused, and the connection goes on', async () => {
    const raw = await client();
    const answer = await raw.send(GET_TASK, framed(Buffer.alloc(0), { length: limits.rpcMessageBytes + 1 }));
    expect(answer.status).toBe(grpc.status.RESOURCE_EXHAUSTED);
    expect(await usual(raw)).toBe(grpc.status.OK);
    expect(ids).toEqual(['x']);
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const)(
    'that %s makes too large is refused, and the connection goes on',
    async (encoding, compress) => {
      const raw = await client();
      const bomb = compress(Buffer.alloc(limits.rpcMessageBytes * 4));
      expect(bomb.length).toBeLessThan(100_000);
      const answer = await raw.send(GET_TASK, framed(bomb, { compressed: true }), {
        'grpc-encoding': encoding,
      });
      expect(answer.status).toBe(grpc.status.RESOURCE_EXHAUSTED);
      expect(await usual(raw)).toBe(grpc.status.OK);
    },
  );

  it('that is compressed is understood', async () => {
    const raw = await client();
    const body = framed(gzipSync(taskRequest('zipped')), { compressed: true });
    await expect(raw.send(GET_TASK, body, { 'grpc-encoding': 'gzip' })).resolves.toMatchObject({ status: 0 });
    expect(ids).toEqual(['zipped']);
  });

  it.each([
    ['is no protobuf', framed(Buffer.from([0xff, 0xff, 0xff]))],
    ['ends in the middle of a string', framed(Buffer.from([0x0a, 0x05, 0x61]))],
    ['says that it is compressed', framed(Buffer.from('no gzip'), { compressed: true })],
    ['ends before its length', framed(taskRequest('x'), { length: 1000 })],
    ['holds text that is no UTF-8', framed(Buffer.from([0x0a, 0x01, 0xff]))],
    ['is missing', Buffer.alloc(0)],
    ['is two', Buffer.concat([framed(taskRequest('x')), framed(taskRequest('y'))])],
  ])('that %s is refused', async (_what, body) => {
    const raw = await client();
    const answer = await raw.send(GET_TASK, body, { 'grpc-encoding': 'gzip' });
    expect(answer.status).toBeGreaterThan(0);
    expect(await usual(raw)).toBe(grpc.status.OK);
    expect(ids).toEqual(['x']);
  });

  it('with a key __proto__ in a map is refused, not taken without it', async () => {
    const raw = await client();
    const request = LabelNodeRequest.fromPartial({ name: 'n1', labels: { aaaaaaaaa: 'x' } });
    const bytes = Buffer.from(LabelNodeRequest.encode(request).finish());
    bytes.write('__proto__', bytes.indexOf('aaaaaaaaa'));
    const answer = await raw.send(ClusterService.labelNode.path, framed(bytes));
    expect(answer).toMatchObject({
      status: grpc.status.INTERNAL,
      message: 'Error deserializing request',
    });
    expect(await usual(raw)).toBe(grpc.status.OK);
  });

  it('of random bytes does no harm', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = seededRandom(seed);
    const raw = await client();
    for (let round = 0; round < 500; round += 1) {
      const body = Buffer.from(Array.from({ length: random() * 64 }, () => random() * 256));
      const compressed = random() < 0.2;
      const answer = await raw.send(GET_TASK, random() < 0.8 ? framed(body, { compressed }) : body);
      expect(answer.status, `seed ${seed}`).toBeDefined();
    }
    expect(await usual(raw)).toBe(grpc.status.OK);
  });
});

describe('headers', () => {
  it.each([
    ['one that is too long', { x: 'y'.repeat(200_000) }],
    ['too many', Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`x-${index}`, 'y']))],
  ])('%s are refused', async (_what, headers) => {
    const raw = await client();
    const answer = await raw.send(GET_TASK, framed(taskRequest('x')), headers).catch(() => null);
    expect(answer?.status).toBeUndefined();
    expect(ids).toEqual([]);
    expect(await usual(await client())).toBe(grpc.status.OK);
  });

  it.each([
    ['a web page', { 'content-type': 'text/html' }, { httpStatus: 415 }],
    ['a method that is none', { ':path': '/jarvis.cluster.Cluster/Nothing' }, { status: 12 }],
    ['a path that leaves the service', { ':path': '/../../etc/passwd' }, { status: 12 }],
    ['a prototype key', { ':path': '/__proto__' }, { status: 12 }],
    ['an encoding that is none', { 'grpc-encoding': 'zip' }, { status: 0 }],
    ['a deadline that is none', { 'grpc-timeout': 'soon' }, { status: 13 }],
  ])('with %s are answered', async (_what, headers, answer) => {
    const raw = await client();
    await expect(raw.send(GET_TASK, framed(taskRequest('x')), headers)).resolves.toMatchObject(answer);
    expect(await usual(raw)).toBe(grpc.status.OK);
  });
});

describe('a connection', () => {
  it('that speaks HTTP/1.1 is closed', async () => {
    const raw = await socket();
    const closed = once(raw, 'close');
    raw.resume();
    raw.write('GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await closed;
    expect(await usual(await client())).toBe(grpc.status.OK);
  });

  it.each([
    ['zeros', Buffer.alloc(100)],
    ['what TLS begins with', Buffer.from('1603010200010001fc0303', 'hex')],
    [
      'a frame of 16 MiB',
      Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), Buffer.from('ffffff000000000001', 'hex')]),
    ],
    [
      'data for a stream that is none',
      Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), frame(FRAME.data, 0, 9)]),
    ],
    ['settings that are none', Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, Buffer.alloc(5))])],
    [
      'headers that are none',
      Buffer.concat([
        PREFACE,
        frame(FRAME.settings, 0, 0),
        frame(FRAME.headers, 4, 1, Buffer.alloc(64, 0xff)),
      ]),
    ],
  ])('that brings %s is closed', async (_what, bytes) => {
    const raw = await socket();
    const closed = once(raw, 'close');
    raw.resume();
    raw.write(bytes);
    await closed;
    expect(await usual(await client())).toBe(grpc.status.OK);
  });

  it('that breaks in the middle of a frame leaves nothing behind', async () => {
    for (let length = 1; length < PREFACE.length + 20; length += 1) {
      const raw = await socket();
      const bytes = Buffer.concat([
        PREFACE,
        frame(FRAME.settings, 0, 0),
        frame(FRAME.headers, 4, 1, Buffer.alloc(9)),
      ]);
      raw.write(bytes.subarray(0, length));
      raw.end();
      raw.resume();
      await once(raw, 'close');
    }
    expect(await usual(await client())).toBe(grpc.status.OK);
  });

  it.each([
    ['pings', () => frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ['settings', () => frame(FRAME.settings, 0, 0)],
    [
      'headers without an end',
      (index: number) =>
        frame(index === 0 ? FRAME.headers : FRAME.continuation, 0, 1, Buffer.from([0x40, 1, 0x78, 1, 0x79])),
    ],
    [
      'resets',
      (index: number) =>
        Buffer.concat([
          frame(FRAME.headers, 4, index * 2 + 1, Buffer.from([0x83, 0x86, 0x84])),
          frame(FRAME.resetStream, 0, index * 2 + 1, Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL])),
        ]),
    ],
  ])('that floods the node with %s and reads nothing is closed', async (_what, make) => {
    const raw = await socket();
    raw.pause();
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    raw.once('close', close);
    raw.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)]));
    for (let index = 0; index < 3_000_000 && !raw.destroyed; index += 1000) {
      const batch = Array.from({ length: 1000 }, (_, offset) => make(index + offset));
      if (raw.write(Buffer.concat(batch))) continue;
      const { promise: drained, resolve } = Promise.withResolvers<void>();
      raw.once('drain', resolve);
      await Promise.race([drained, closed]);
    }
    expect(raw.destroyed).toBe(true);
    expect(await usual(await client())).toBe(grpc.status.OK);
  });
});

it('2,000 connections that say nothing keep nobody from being answered', async () => {
  const busy = await client();
  const idle: Promise<Socket>[] = [];
  for (let index = 0; index < 2000; index += 1) idle.push(socket());
  await Promise.all(idle);
  expect(await usual(busy)).toBe(grpc.status.OK);
  expect(await usual(await client())).toBe(grpc.status.OK);
});
