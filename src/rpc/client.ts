/** Calls to another node: a deadline always, an AbortSignal for those who give up, and JarvisErrors for what fails. */
import * as grpc from '@grpc/grpc-js';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { ChannelPool } from './channel.ts';
import { drained } from './drained.ts';
import { fromServiceError } from './errors.ts';

/** A method as the generated service definitions describe it. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

export interface Call<Request, Response> {
  readonly pool: ChannelPool;
  /** `host:port` */
  readonly address: string;
  /** Who must be there, as far as certificates tell; default: any node of the cluster. */
  readonly node?: string;
  readonly method: Method<Request, Response>;
  readonly request: Request;
  readonly metadata?: grpc.Metadata;
  readonly signal: AbortSignal;
}

/**
 * @param call.write the call changes something: where it is not known whether it did, the error is outcome_unknown
 * @throws JarvisError unavailable where nothing was sent; timeout; whatever the server answers
 */
export async function unaryCall<Request, Response>(
  call: Call<Request, Response> & {
    readonly timeoutMs: number;
    readonly write: boolean;
    /** Told of what stands before the answer. */
    readonly onMetadata?: (metadata: grpc.Metadata) => void;
  },
): Promise<Response> {
  const { address, method, signal, write } = call;
  const deadline = Date.now() + call.timeoutMs;
  const client = call.pool.client(address, call.node);
  await connected(client, {
    address,
    timeoutMs: Math.min(call.timeoutMs, limits.rpcConnectTimeoutMs),
    signal,
    pool: call.pool,
  });
  return new Promise((resolve, reject) => {
    const cancel = (): void => request.cancel();
    const request = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      call.request,
      call.metadata ?? new grpc.Metadata(),
      { deadline },
      (error, response) => {
        signal.removeEventListener('abort', cancel);
        if (error === null && response !== undefined) resolve(response);
        else reject(aborted(signal, write) ?? fromServiceError(error, { address, write }));
      },
    );
    if (call.onMetadata !== undefined) request.on('metadata', call.onMetadata);
    signal.addEventListener('abort', cancel);
    if (signal.aborted) cancel();
  });
}

/**
 * The messages of a stream, read no faster than they are consumed. Ends the call when the consumer stops.
 * @throws JarvisError as `unaryCall` does; streams only read
 */
export async function* streamCall<Request, Response>(
  call: Call<Request, Response>,
): AsyncGenerator<Response, void> {
  const { address, method, signal } = call;
  const client = call.pool.client(address, call.node);
  await connected(client, { address, timeoutMs: limits.rpcConnectTimeoutMs, signal, pool: call.pool });
  const stream = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    call.request,
    call.metadata ?? new grpc.Metadata(),
    {},
  );
  const cancel = (): void => stream.cancel();
  // grpc-js emits the status of a cancelled call also when nobody iterates any more.
  stream.on('error', () => undefined);
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  try {
    for await (const message of stream as AsyncIterable<Response>) yield message;
  } catch (error) {
    throw aborted(signal, false) ?? fromServiceError(error, { address, write: false });
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/**
 * Sends messages no faster than they are taken. The answer may come before all are sent: then no more are asked for.
 * @throws JarvisError as a `unaryCall` that only reads does; whatever the messages throw
 */
export async function uploadCall<Request, Response>(
  call: Omit<Call<Request, Response>, 'request'> & {
    readonly messages: AsyncIterable<Request>;
    readonly timeoutMs: number;
  },
): Promise<Response> {
  const { address, method, signal, messages } = call;
  const deadline = Date.now() + call.timeoutMs;
  const client = call.pool.client(address, call.node);
  await connected(client, { address, timeoutMs: limits.rpcConnectTimeoutMs, signal, pool: call.pool });
  const answer = Promise.withResolvers<Response>();
  // It may fail while a message is still being made.
  answer.promise.catch(() => undefined);
  const answered = new AbortController();
  const over = new Promise<void>((resolve) => {
    answered.signal.addEventListener('abort', () => resolve());
  });
  const stream = client.makeClientStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    call.metadata ?? new grpc.Metadata(),
    { deadline },
    (error, response) => {
      answered.abort();
      if (error === null && response !== undefined) answer.resolve(response);
      else answer.reject(aborted(signal, false) ?? fromServiceError(error, { address, write: false }));
    },
  );
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  try {
    await Promise.race([over, send(messages, stream, answered.signal)]);
    return await answer.promise;
  } finally {
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/** Until the end of the messages, or until the signal is aborted: then no more are asked for. */
async function send<Request>(
  messages: AsyncIterable<Request>,
  stream: grpc.ClientWritableStream<Request>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages) {
    if (signal.aborted) return;
    if (!stream.write(message)) await drained(stream, signal);
  }
  if (!signal.aborted) stream.end();
}

/**
 * Resolves once the connection stands, so that a later failure is one of the call's.
 * @throws JarvisError unavailable
 */
export async function connected(
  client: grpc.Client,
  options: {
    readonly address: string;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    /** Knows what may stand against a connection. */
    readonly pool?: Pick<ChannelPool, 'problemAt'>;
  },
): Promise<void> {
  const { address, timeoutMs, signal, pool } = options;
  const deadline = Date.now() + timeoutMs;
  const channel = client.getChannel();
  for (;;) {
    throwIfAborted(signal);
    const state = channel.getConnectivityState(true);
    if (state === grpc.connectivityState.READY) return;
    if (state === grpc.connectivityState.TRANSIENT_FAILURE || state === grpc.connectivityState.SHUTDOWN) {
      const problem = pool?.problemAt(address) ?? null;
      const reason = problem === null ? '' : `: ${problem}`;
      throw new JarvisError('unavailable', `${address} cannot be reached${reason}`);
    }
    await stateChange(channel, state, deadline, signal);
    if (Date.now() >= deadline) throw new JarvisError('unavailable', `${address} does not answer`);
  }
}

/** Resolves when the state is another, at the deadline, or when the caller has given up. */
async function stateChange(
  channel: ReturnType<grpc.Client['getChannel']>,
  state: grpc.connectivityState,
  deadline: number,
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    channel.watchConnectivityState(state, deadline, done);
  });
}

/** @throws the signal's reason where it is a JarvisError, else timeout */
function throwIfAborted(signal: AbortSignal): void {
  const error = aborted(signal, false);
  if (error !== null) throw error;
}

function aborted(signal: AbortSignal, write: boolean): JarvisError | null {
  if (!signal.aborted) return null;
  const cause: unknown = signal.reason;
  if (write) return new JarvisError('outcome_unknown', 'given up before the answer came', { cause });
  return cause instanceof JarvisError ? cause : new JarvisError('timeout', 'given up', { cause });
}
