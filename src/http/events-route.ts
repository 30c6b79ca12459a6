/** `GET /events`: server-sent events, each with its position as id, so that a reader that comes back goes on there. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { FastifyReply } from 'fastify';

import type { EventsPiece, EventsRequest } from '../generated/cluster.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { formatEventPosition } from '../operations/event-position.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { eventToJson } from '../spec/json.ts';
import { problemOf } from './problem.ts';
import { asMalformed } from './query.ts';

/** Proposed to readers that reconnect by themselves. */
const RETRY_MS = 1000;

export async function sendEvents(
  reply: FastifyReply,
  parts: {
    readonly operations: ClusterOperations;
    readonly request: EventsRequest;
    readonly context: CallContext;
    readonly log: Log;
  },
): Promise<void> {
  const { operations, request, context, log } = parts;
  const pieces = operations.watchEvents(request, context)[Symbol.asyncIterator]();
  let first: IteratorResult<EventsPiece>;
  try {
    first = await pieces.next();
  } catch (error) {
    throw asMalformed(error);
  }
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    // Proxies that gather answers would hold back what is to be seen at once.
    'x-accel-buffering': 'no',
  });
  reply.raw.flushHeaders();
  try {
    await pipeline(Readable.from(textOf(first, pieces, context.signal), { objectMode: false }), reply.raw);
  } catch (error) {
    log.debug({ error: messageOf(error) }, 'a stream of events ended early');
  }
}

/** What ends it is told as an event `error`, for readers that look; a caller that has gone is told nothing. */
async function* textOf(
  first: IteratorResult<EventsPiece>,
  pieces: AsyncIterator<EventsPiece>,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  try {
    yield `retry: ${RETRY_MS}\n\n`;
    for (let next = first; next.done !== true; next = await pieces.next()) yield pieceText(next.value);
  } catch (error) {
    const known = error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error));
    if (!signal.aborted) yield `event: error\ndata: ${JSON.stringify(problemOf(known))}\n\n`;
  } finally {
    await pieces.return?.();
  }
}

function pieceText({ events, position }: EventsPiece): string {
  const lines = events.map(
    (event) => `id: ${formatEventPosition(event)}\ndata: ${JSON.stringify(eventToJson(event))}\n\n`,
  );
  // A message of an id alone: nothing is dispatched, and the reader goes on there. The comment keeps proxies awake.
  lines.push(`: ${position}\nid: ${position}\n\n`);
  return lines.join('');
}
