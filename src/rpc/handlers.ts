/** Server side of a call: a context for the operation, its result or messages sent, its error mapped. */
import type * as grpc from '@grpc/grpc-js';

import { callerOf as certificateOf, type CallWithPeer } from '../lib/certificate-identity.ts';
import { onAbort } from '../lib/abort.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { CallContext } from '../operations/port.ts';
import { toStatus } from './errors.ts';
import { callerOf, FORWARDED_KEY } from './forwarded.ts';

interface ServerCall extends CallWithPeer {
  readonly metadata: grpc.Metadata;
  getPath(): string;
  getPeer(): string;
  getDeadline(): grpc.Deadline;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** The signal is aborted when the caller cancels, its connection breaks or its deadline passes before it is answered. */
export function contextOf(call: ServerCall, isAnswered: () => boolean = () => false): CallContext {
  const controller = new AbortController();
  call.on('cancelled', () => {
    // grpc-js says so of every call in the end.
    if (!isAnswered()) controller.abort(new JarvisError('timeout', 'the caller has gone'));
  });
  // Null without TLS: then there is nothing to hold its word against.
  const certificate = certificateOf(call);
  const caller = callerOf(call.metadata, call.getPeer());
  const { node = null } = caller;
  const speaksFor = (name: string): boolean =>
    certificate === null || (certificate.kind === 'node' && certificate.name === name);
  return {
    caller: node === null || speaksFor(node.name) ? caller : { ...caller, node: null },
    principal: 'anonymous',
    signal: controller.signal,
    // Only nodes send on calls of others.
    forwarded: certificate?.kind !== 'client' && call.metadata.get(FORWARDED_KEY)[0] === '1',
    deadlineMs: Number(call.getDeadline()),
  };
}

export function unaryHandler<Request, Response>(
  operation: (request: Request, context: CallContext) => Promise<Response> | Response,
  log: Log,
): grpc.handleUnaryCall<Request, Response> {
  const answer = async (
    call: grpc.ServerUnaryCall<Request, Response>,
    callback: grpc.sendUnaryData<Response>,
  ): Promise<void> => {
    let response: Response;
    let isAnswered = false;
    try {
      response = await operation(
        call.request,
        contextOf(call, () => isAnswered),
      );
      isAnswered = true;
    } catch (error) {
      isAnswered = true;
      report(log, call.getPath(), error);
      callback(toStatus(error));
      return;
    }
    callback(null, response);
  };
  return (call, callback) => void answer(call, callback);
}

export function streamHandler<Request, Response>(
  operation: (request: Request, context: CallContext) => AsyncIterable<Response>,
  log: Log,
): grpc.handleServerStreamingCall<Request, Response> {
  return (call) => {
    const context = contextOf(call);
    pump(call, () => operation(call.request, context), context.signal).then(
      () => call.end(),
      (error: unknown) => {
        if (context.signal.aborted) return;
        report(log, call.getPath(), error);
        call.emit('error', toStatus(error));
      },
    );
  };
}

/**
 * One message is on its way to the reader, and one more waits for it: messages may be large, and streams many. How long it
 * waits is bounded by call-bounds.ts.
 */
async function pump<Request, Response>(
  call: grpc.ServerWritableStream<Request, Response>,
  messages: () => AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  let before: Promise<void> | null = null;
  for await (const message of messages()) {
    if (signal.aborted) return;
    const sent = taken(call, message, signal);
    await before;
    before = sent;
  }
}

/** Resolves when the message was taken, or the signal is aborted. */
async function taken<Response>(
  call: { write(message: Response, callback: () => void): boolean },
  message: Response,
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = onAbort(signal, resolve);
    call.write(message, () => {
      stop();
      resolve();
    });
  });
}

/**
 * One answer to a stream of requests, read no faster than they are taken. One that is cancelled may look like one that has
 * ended: its last request must say that it is the last.
 * @param options.stallMs for the next request to come; a caller that is slower is refused with `timeout`
 */
export function uploadHandler<Request, Response>(
  operation: (requests: AsyncIterable<Request>, context: CallContext) => Promise<Response>,
  { log, stallMs }: { readonly log: Log; readonly stallMs: number },
): grpc.handleClientStreamingCall<Request, Response> {
  const answer = async (
    call: grpc.ServerReadableStream<Request, Response>,
    callback: grpc.sendUnaryData<Response>,
  ): Promise<void> => {
    let isAnswered = false;
    const context = contextOf(call, () => isAnswered);
    call.on('error', (error) =>
      log.debug({ path: call.getPath(), error: messageOf(error) }, 'a stream broke'),
    );
    try {
      const response = await operation(requestsOf(call, context.signal, stallMs), context);
      isAnswered = true;
      callback(null, response);
    } catch (error) {
      isAnswered = true;
      report(log, call.getPath(), error);
      callback(toStatus(error));
    }
  };
  return (call, callback) => void answer(call, callback);
}

/** @throws JarvisError timeout where the caller has gone, or is silent for so long */
async function* requestsOf<Request>(
  call: grpc.ServerReadableStream<Request, unknown>,
  signal: AbortSignal,
  stallMs: number,
): AsyncGenerator<Request, void> {
  // Leaving the loop must not end the call: it is still to be answered.
  const requests: AsyncIterator<Request> = call.iterator({ destroyOnReturn: false });
  for (;;) {
    const { promise: over, reject } = Promise.withResolvers<never>();
    const give = (): void => reject(signal.reason as Error);
    const timer = setTimeout(
      () => reject(new JarvisError('timeout', `nothing came for ${stallMs} ms`)),
      stallMs,
    );
    signal.addEventListener('abort', give);
    if (signal.aborted) give();
    let next: IteratorResult<Request>;
    try {
      next = await Promise.race([requests.next(), over]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
    }
    if (next.done === true) return;
    yield next.value;
  }
}

/** Only what no caller is to blame for. */
export function report(log: Log, path: string, error: unknown): void {
  if (error instanceof JarvisError && error.code !== 'internal') return;
  const stack = error instanceof Error ? error.stack : undefined;
  log.error({ path, error: messageOf(error), stack }, 'call failed');
}
