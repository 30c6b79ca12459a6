/** Calls that send a stream and get one answer. */
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';

import type { LogPiece, LogReceipt } from '../generated/log_hand_over.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import { JarvisError } from '../lib/errors.ts';
import type { CallContext } from '../operations/port.ts';
import { ChannelPool } from './channel.ts';
import { uploadCall } from './client.ts';
import { unaryHandler, uploadHandler } from './handlers.ts';
import { createServer, type RpcServer } from './server.ts';

type Take = (pieces: AsyncIterable<LogPiece>, context: CallContext) => Promise<LogReceipt>;

const log = pino({ enabled: false });
const never = new AbortController().signal;
const PIECE: LogPiece = { kind: { $case: 'end', value: { bytes: 1 } } };

let server: RpcServer | null = null;
let pool: ChannelPool | null = null;

afterEach(async () => {
  pool?.close();
  await server?.close(0);
});

async function dial(take: Take, stallMs = 60_000) {
  const unused = unaryHandler(() => {
    throw new JarvisError('internal', 'not asked for');
  }, log);
  const take_ = uploadHandler(take, { log, stallMs });
  const handlers = { room: unused, take: take_, record: unused, begin: unused };
  server = await createServer({
    services: [{ definition: LogHandOverService, handlers }],
    listen: '127.0.0.1:0',
  });
  const made = new ChannelPool();
  pool = made;
  const { address } = server;
  return (messages: AsyncIterable<LogPiece>, signal = never) =>
    uploadCall({ pool: made, address, method: LogHandOverService.take, messages, timeoutMs: 20_000, signal });
}

async function* pieces(count: number, bytes = 0): AsyncGenerator<LogPiece> {
  for (let at = 0; at < count; at += 1)
    yield bytes === 0
      ? PIECE
      : { kind: { $case: 'data', value: { sequence: at, data: Buffer.alloc(bytes), checksum: 0 } } };
}

async function* stuck(): AsyncGenerator<LogPiece> {
  yield PIECE;
  await new Promise(() => {});
}

it('all of it arrives, in order', async () => {
  const seen: number[] = [];
  const call = await dial(async (sent) => {
    for await (const { kind } of sent) seen.push(kind?.$case === 'data' ? kind.value.sequence : -1);
    return { was_held: true };
  });
  expect(await call(pieces(200, 60_000))).toEqual({ was_held: true });
  expect(seen).toEqual(Array.from({ length: 200 }, (_, at) => at));
});

it('no more is asked for than the receiver takes, and nothing after its answer', async () => {
  const answer = Promise.withResolvers<void>();
  let made = 0;
  async function* endless(): AsyncGenerator<LogPiece> {
    for (;;) {
      made += 1;
      // A receiver that does not read at all: so much is on its way and no more.
      if (made > 400) throw new Error('far ahead of its receiver');
      yield* pieces(1, 60_000);
      if (made === 20) answer.resolve();
    }
  }
  const call = await dial(async (sent) => {
    await sent[Symbol.asyncIterator]().next();
    await answer.promise;
    throw new JarvisError('too_many', 'enough');
  });
  await expect(call(endless())).rejects.toMatchObject({ code: 'too_many', message: 'enough' });
  const before = made;
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(made).toBe(before);
});

it('one that falls silent is not waited for', async () => {
  const over = Promise.withResolvers<void>();
  async function* silent(): AsyncGenerator<LogPiece> {
    yield PIECE;
    await over.promise;
  }
  const call = await dial(async (sent) => {
    try {
      for await (const _ of sent);
    } finally {
      over.resolve();
    }
    return { was_held: false };
  }, 50);
  await expect(call(silent())).rejects.toMatchObject({ code: 'timeout', message: 'nothing came for 50 ms' });
});

it('ends on both sides when its sender gives up, whatever its messages wait for', async () => {
  const given = new AbortController();
  const ended = Promise.withResolvers<void>();
  const call = await dial(async (sent) => {
    try {
      for await (const _ of sent) given.abort();
    } finally {
      ended.resolve();
    }
    return { was_held: false };
  });
  await expect(call(stuck(), given.signal)).rejects.toMatchObject({ code: 'timeout' });
  await ended.promise;
});
