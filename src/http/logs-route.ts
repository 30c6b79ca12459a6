/** `GET /tasks/{id}/logs`: text, chunked while following. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { FastifyReply } from 'fastify';

import type { LogsRequest } from '../generated/cluster.ts';
import type { LogChunk } from '../generated/worker.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import { asMalformed } from './query.ts';

/** Held back, so that a failure near the beginning still has a status of its own. */
const HELD_BYTES = 64 * 1024;
/** A follower wants to see its connection accepted, also while there is no output yet. */
const FOLLOW_HELD_MS = 250;

export async function sendLogs(
  reply: FastifyReply,
  parts: {
    readonly operations: ClusterOperations;
    readonly request: LogsRequest;
    readonly context: CallContext;
    readonly log: Log;
  },
): Promise<void> {
  const { operations, request, context, log } = parts;
  const chunks = operations.readLogs(request, context)[Symbol.asyncIterator]();
  const beginning = new Beginning(chunks);
  try {
    await beginning.gather(request.follow ? FOLLOW_HELD_MS : null);
  } catch (error) {
    if (!(error instanceof JarvisError) || error.code !== 'logs_unavailable') throw asMalformed(error);
    const problem = { ...problemOf(error), log_tail: beginning.text };
    await reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
    return;
  }
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  reply.raw.flushHeaders();
  try {
    await pipeline(Readable.from(beginning.whole(), { objectMode: false }), reply.raw);
  } catch (error) {
    // The pipeline has cut the connection: an incomplete answer must not look like a complete one.
    log.debug({ task: request.id, error: messageOf(error) }, 'log stream ended early');
  }
}

/** The first part of a stream, read ahead of the answer. */
class Beginning {
  readonly #chunks: AsyncIterator<LogChunk>;
  readonly #held: Uint8Array[] = [];
  /** A read that was under way when gathering ended. */
  #next: Promise<IteratorResult<LogChunk>> | null = null;
  #bytes = 0;
  #done = false;

  constructor(chunks: AsyncIterator<LogChunk>) {
    this.#chunks = chunks;
  }

  get text(): string {
    return Buffer.concat(this.#held).toString();
  }

  /** Until there is enough, or the end, or the time is up. @throws what the stream throws by then */
  async gather(timeoutMs: number | null): Promise<void> {
    const timer = new AbortController();
    const timeUp = timeoutMs === null ? null : delay(timeoutMs, 'timeUp' as const, { signal: timer.signal });
    // Cancelled below, which rejects it.
    timeUp?.catch(() => undefined);
    try {
      while (!this.#done && this.#bytes < HELD_BYTES) {
        this.#next ??= this.#chunks.next();
        const result = await (timeUp === null ? this.#next : Promise.race([this.#next, timeUp]));
        if (result === 'timeUp') return;
        this.#next = null;
        this.#take(result);
      }
    } finally {
      timer.abort();
    }
  }

  #take(result: IteratorResult<LogChunk>): void {
    if (result.done === true) {
      this.#done = true;
      return;
    }
    this.#held.push(result.value.data);
    this.#bytes += result.value.data.length;
  }

  async *whole(): AsyncGenerator<Uint8Array, void> {
    try {
      yield* this.#held.splice(0);
      while (!this.#done) {
        const result = await (this.#next ?? this.#chunks.next());
        this.#next = null;
        if (result.done === true) return;
        yield result.value.data;
      }
    } finally {
      await this.#chunks.return?.();
    }
  }
}
