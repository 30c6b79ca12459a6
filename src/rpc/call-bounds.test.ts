import { once } from 'node:events';
import { constants, type ClientHttp2Stream } from 'node:http2';
import { gzipSync } from 'node:zlib';

import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  ClusterService,
  EventsRequest,
  LogsRequest,
  SubmitTasksRequest,
  Task,
  TaskRequest,
} from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import type { ClusterOperations } from '../operations/port.ts';
import { clusterService } from './cluster-service.ts';
import { answerOf, framed, RawClient } from './raw-grpc.test-kit.ts';
import type { RpcServer } from './server.ts';
import { createServer } from './server.ts';

const GET_TASK = ClusterService.getTask.path;
const WATCH_TASK = ClusterService.watchTask.path;

let clock: VirtualClock;
let server: RpcServer;
let client: RawClient;
/** Resolves when an operation has begun, and when its caller is said to have gone. */
let begun: PromiseWithResolvers<void>;
let gone: PromiseWithResolvers<void>;

function untilGone(signal: AbortSignal): Promise<never> {
  begun.resolve();
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      gone.resolve();
      reject(signal.reason as Error);
    });
  });
}

/** Without end, for as long as somebody reads. */
async function* endless<T>(message: T): AsyncGenerator<T> {
  try {
    for (;;) {
      begun.resolve();
      yield message;
    }
  } finally {
    gone.resolve();
  }
}

const BYTES = Buffer.alloc(64 * 1024);

const operations: Partial<ClusterOperations> = {
  readLogs: () => endless({ stream: 'stdout', at_ms: 1, data: BYTES }),
  watchEvents: () => endless({ events: [], position: 'x'.repeat(64 * 1024), complete: false }),
  saveSnapshot: () => endless({ data: BYTES }),
  getTask: (request, { signal }) =>
    request.id === 'quick' ? Promise.resolve(Task.create({ id: 'quick' })) : untilGone(signal),
  async *watchTask(request, { signal }) {
    yield Task.create({ id: request.id });
    if (request.id === 'silent') await untilGone(signal);
    yield* endless(Task.create({ id: 'x'.repeat(64 * 1024) }));
  },
};

beforeEach(async () => {
  clock = new VirtualClock();
  begun = Promise.withResolvers();
  gone = Promise.withResolvers();
  const services = [clusterService(operations as ClusterOperations, silentLog)];
  server = await createServer({ listen: '127.0.0.1:0', services, clock });
  client = await RawClient.connect(server.address);
});

afterEach(async () => {
  await client.close();
  await server.close(0);
});

function request(id: string): Buffer {
  return framed(TaskRequest.encode({ id }).finish());
}

describe('a call without a deadline', () => {
  it('is ended, and its operation told', async () => {
    const answer = client.send(GET_TASK, request('slow'));
    await begun.promise;
    await clock.advance(limits.rpcCallMs + limits.rpcLookMs);
    await gone.promise;
    await expect(answer).resolves.toMatchObject({
      status: grpc.status.DEADLINE_EXCEEDED,
      message: 'the call has taken too long',
      resetCode: 0,
    });
  });

  it('carries no code of ours then, for nobody knows whether it has happened', async () => {
    const answer = client.send(GET_TASK, request('slow'));
    await begun.promise;
    await clock.advance(limits.rpcCallMs + limits.rpcLookMs);
    expect((await answer).trailers).not.toHaveProperty('jarvis-code');
  });
});

describe('a call with a deadline', () => {
  it('takes as long as that says, up to the bound', async () => {
    let isOver = false;
    const answer = client.send(GET_TASK, request('slow'), { 'grpc-timeout': '24H' }).finally(() => {
      isOver = true;
    });
    await begun.promise;
    await clock.advance(limits.rpcCallMs * 2);
    await client.send(GET_TASK, request('quick'));
    expect(isOver).toBe(false);
    await clock.advance(limits.rpcLongestCallMs);
    expect((await answer).status).toBe(grpc.status.DEADLINE_EXCEEDED);
  });

  it('ends with it', async () => {
    const answer = await client.send(GET_TASK, request('slow'), { 'grpc-timeout': '50m' });
    expect(answer.status).toBe(grpc.status.DEADLINE_EXCEEDED);
    await gone.promise;
  });
});

describe('a stream', () => {
  it('ends with UNAVAILABLE when the node stops; calls are still answered', async () => {
    const answer = client.send(WATCH_TASK, request('silent'));
    await begun.promise;
    server.endStreams();
    const stopped = { status: grpc.status.UNAVAILABLE, message: 'this node is stopping' };
    await expect(answer).resolves.toMatchObject(stopped);
    await gone.promise;
    await expect(client.send(WATCH_TASK, request('silent'))).resolves.toMatchObject({ ...stopped, bytes: 0 });
    await expect(client.send(GET_TASK, request('quick'))).resolves.toMatchObject({ status: 0 });
  });

  it('does not live for ever', async () => {
    const answer = client.send(WATCH_TASK, request('silent'));
    await begun.promise;
    // What was sent is read once a later answer is.
    await client.send(GET_TASK, request('quick'));
    await clock.advance(limits.rpcStreamMs + limits.rpcLookMs);
    await expect(answer).resolves.toMatchObject({ status: grpc.status.UNAVAILABLE });
    await gone.promise;
  });

  it.each([
    ['of a task', WATCH_TASK, request('fast')],
    [
      'of output',
      ClusterService.readLogs.path,
      framed(LogsRequest.encode(LogsRequest.create({ id: 'x', follow: true })).finish()),
    ],
    [
      'of events',
      ClusterService.watchEvents.path,
      framed(EventsRequest.encode(EventsRequest.create({ follow: true })).finish()),
    ],
    ['of a snapshot', ClusterService.saveSnapshot.path, framed(new Uint8Array())],
  ])('%s that is not read is reset; what else the connection carries goes on', async (_what, path, body) => {
    const stream = client.open(path);
    stream.pause();
    stream.end(body);
    await once(stream, 'response');
    await begun.promise;
    // The window of a stream is 64 KiB: the server has sent all it may once the other call is answered.
    await client.send(GET_TASK, request('quick'));
    await clock.advance(limits.rpcUnreadMs + limits.rpcLookMs);
    await gone.promise;
    const closed = once(stream, 'close');
    stream.resume();
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    await expect(client.send(GET_TASK, request('quick'))).resolves.toMatchObject({ status: 0 });
  });

  it('that is read, however slowly, goes on', async () => {
    const stream = client.open(WATCH_TASK);
    stream.end(request('fast'));
    let bytes = 0;
    for (let minute = 0; minute < 20; minute += 1) {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null) await once(stream, 'readable');
      else bytes += chunk.length;
      await client.send(GET_TASK, request('quick'));
      await clock.advance(limits.rpcUnreadMs / 2);
    }
    expect(stream.rstCode).toBe(0);
    expect(bytes).toBeGreaterThan(0);
    stream.close(constants.NGHTTP2_CANCEL);
    await gone.promise;
  });
});

describe('a stop', () => {
  it('ends calls under way with UNAVAILABLE once their time is over', async () => {
    const answer = client.send(GET_TASK, request('slow'));
    await begun.promise;
    await server.close(0);
    await expect(answer).resolves.toMatchObject({ status: grpc.status.UNAVAILABLE });
    await gone.promise;
  });

  it('closes connections on which nothing is said', async () => {
    const closed = once(client.session, 'close');
    await server.close(0);
    await closed;
    expect(client.session.destroyed).toBe(true);
  });
});

it('a request that never ends is answered in time, and reset where that does not end it', async () => {
  const stream = client.open(ClusterService.listTasks.path);
  const answer = answerOf(stream);
  const answered = once(stream, 'response');
  stream.write(request('cut off').subarray(0, 3));
  // The server has the call once it has answered a later one.
  await client.send(GET_TASK, request('quick'));
  await clock.advance(limits.rpcCallMs + limits.rpcLookMs);
  await answered;
  await clock.advance(limits.rpcUnreadMs + limits.rpcLookMs);
  await expect(answer).resolves.toMatchObject({
    status: grpc.status.DEADLINE_EXCEEDED,
    resetCode: constants.NGHTTP2_CANCEL,
  });
});

function large(length: number): Buffer {
  return framed(SubmitTasksRequest.encode({ tasks: [], idempotency_key: 'x'.repeat(length) }).finish());
}

describe('what callers have sent', () => {
  const PIECE = 48 * 1024;
  const SUBMITS = ClusterService.streamSubmits.path;
  async function restart(replaced: Partial<ClusterOperations>): Promise<void> {
    await client.close();
    await server.close(0);
    const services = [clusterService({ ...operations, ...replaced } as ClusterOperations, silentLog)];
    server = await createServer({
      listen: '127.0.0.1:0',
      services,
      clock,
      receivedBytes: 10 * PIECE,
      unreadBytes: 640 * 1024,
    });
    client = await RawClient.connect(server.address);
  }

  it('is bounded over all calls, and let go with each', async () => {
    await restart({});
    const streams = Array.from({ length: 9 }, () => client.open(GET_TASK));
    for (const stream of streams) stream.write(request('x'.repeat(2 * PIECE)).subarray(0, PIECE));
    // The server has them once it has answered a later one.
    await client.send(GET_TASK, request('quick'));
    const answer = await client.send(GET_TASK, request('x'.repeat(2 * PIECE)));
    expect(answer).toMatchObject({ status: grpc.status.RESOURCE_EXHAUSTED });
    expect(answer.trailers).toMatchObject({ 'jarvis-code': 'too_many' });
    await expect(client.send(GET_TASK, request('quick'))).resolves.toMatchObject({ status: 0 });
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await client.send(GET_TASK, request('quick'));
    const later = await client.send(GET_TASK, request(`quick${'\0'.repeat(2 * PIECE)}`), {
      'grpc-timeout': '10m',
    });
    expect(later).toMatchObject({ status: grpc.status.DEADLINE_EXCEEDED });
  });

  it('is bounded where it waits for an answer, and ends the stream that brings more', async () => {
    await restart({
      acceptTasks: ({ idempotency_key: key }, { signal }) =>
        key === 'q' ? Promise.resolve({ taskIds: [] }) : untilGone(signal),
    });
    const stream = client.open(SUBMITS);
    const answer = answerOf(stream);
    for (let sent = 0; sent < 20; sent += 1) stream.write(large(PIECE));
    await expect(answer).resolves.toMatchObject({ status: grpc.status.RESOURCE_EXHAUSTED });
    await gone.promise;
    const usual = await client.send(
      SUBMITS,
      framed(SubmitTasksRequest.encode({ tasks: [], idempotency_key: 'q' }).finish()),
    );
    expect(usual).toMatchObject({ status: 0 });
  });

  it('may be any amount where it is answered', async () => {
    await restart({ acceptTasks: () => Promise.resolve({ taskIds: [] }) });
    const stream = client.open(SUBMITS);
    const answer = answerOf(stream);
    for (let sent = 0; sent < 100; sent += 1) if (!stream.write(large(PIECE))) await once(stream, 'drain');
    stream.end();
    await expect(answer).resolves.toMatchObject({ status: 0 });
  });

  it('counts with what it unfolds to', async () => {
    await restart({});
    const bomb = framed(gzipSync(Buffer.alloc(limits.rpcMessageBytes)), { compressed: true });
    const answer = await client.send(GET_TASK, bomb, { 'grpc-encoding': 'gzip' });
    expect(answer).toMatchObject({ status: grpc.status.RESOURCE_EXHAUSTED });
    expect(answer.trailers).toMatchObject({ 'jarvis-code': 'too_many' });
    const small = framed(gzipSync(TaskRequest.encode({ id: 'quick' }).finish()), { compressed: true });
    await expect(client.send(GET_TASK, small, { 'grpc-encoding': 'gzip' })).resolves.toMatchObject({
      status: 0,
    });
  });

  it('is not counted once its call is over', async () => {
    await restart({});
    const stream = client.open(GET_TASK);
    const answer = answerOf(stream);
    stream.write(framed(Buffer.alloc(0), { length: limits.rpcMessageBytes + 1 }));
    for (let sent = 0; sent < 100; sent += 1)
      if (!stream.write(Buffer.alloc(PIECE))) await once(stream, 'drain');
    await expect(client.send(GET_TASK, request('quick'))).resolves.toMatchObject({ status: 0 });
    stream.end();
    await expect(answer).resolves.toMatchObject({ status: grpc.status.RESOURCE_EXHAUSTED });
  });

  it('and has not read is bounded: who has read nothing for longest is cut off', async () => {
    let produced = 0;
    const large = Task.create({ id: 'x'.repeat(192 * 1024) });
    await restart({
      async *watchTask() {
        for (;;) {
          produced += 1;
          yield large;
        }
      },
    });
    const streams: ClientHttp2Stream[] = [];
    const closed: Promise<number>[] = [];
    for (let opened = 0; opened < 6; opened += 1) {
      const stream = client.open(WATCH_TASK);
      stream.pause();
      closed.push(
        new Promise((resolve) => {
          stream.once('close', () => resolve(stream.rstCode));
        }),
      );
      stream.end(request('fast'));
      streams.push(stream);
      await once(stream, 'response');
      // What each has sent by then waits for its reader.
      await client.send(GET_TASK, request('quick'));
      await clock.advance(1);
    }
    for (const stream of streams.slice(0, 3)) stream.resume();
    const cancel = constants.NGHTTP2_CANCEL;
    expect(await Promise.all(closed.slice(0, 3))).toEqual([cancel, cancel, cancel]);
    expect(streams.slice(3).map((stream) => stream.closed)).toEqual([false, false, false]);
    // One on its way to each, and one behind it.
    expect(produced).toBeLessThanOrEqual(6 * 3);
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
  });
});
