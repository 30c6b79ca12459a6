/** {@link ClusterConnection} over gRPC. */
import { connectivityState, credentials, status as grpcStatus } from '@grpc/grpc-js';
import type { CallOptions, ClientReadableStream, ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';

import { ClusterClient } from '../generated/cluster.ts';
import type { ErrorCode } from '../lib/errors.ts';
import { JarvisError } from '../lib/errors.ts';
import type { ClusterConnection } from './connection.ts';
import { clientLimits } from './limits.ts';

const OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
};

export function dialGrpc(address: string): ClusterConnection {
  const client = new ClusterClient(address, credentials.createInsecure(), OPTIONS);
  return {
    address,
    connect: (timeoutMs, signal) => connect(client, address, timeoutMs, signal),
    submitTasks: (request, signal) => unary(client.submitTasks.bind(client), request, signal),
    getTask: (request, signal) => unary(client.getTask.bind(client), request, signal),
    listTasks: (request, signal) => unary(client.listTasks.bind(client), request, signal),
    cancelTask: (request, signal) => unary(client.cancelTask.bind(client), request, signal),
    watchTask: (request, signal) => stream(client.watchTask(request), signal),
    readLogs: (request, signal) => stream(client.readLogs(request), signal),
    listNodes: (signal) => unary(client.listNodes.bind(client), {}, signal),
    getCluster: (signal) => unary(client.getCluster.bind(client), {}, signal),
    version: (signal) => unary(client.getVersion.bind(client), {}, signal),
    close: () => client.close(),
  };
}

/** @throws JarvisError unavailable as soon as the first try fails: there are other peers to try */
async function connect(
  client: ClusterClient,
  address: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + timeoutMs;
  let state = channel.getConnectivityState(true);
  while (state !== connectivityState.READY) {
    signal.throwIfAborted();
    if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN)
      throw new JarvisError('unavailable', `${address} does not accept the connection`);
    const known = state;
    await new Promise<void>((resolve, reject) => {
      channel.watchConnectivityState(known, deadline, (error) => {
        if (error) reject(new JarvisError('unavailable', `${address} did not answer within ${timeoutMs} ms`));
        else resolve();
      });
    });
    state = channel.getConnectivityState(true);
  }
}

type UnaryMethod<Q, A> = (
  request: Q,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, answer: A) => void,
) => ClientUnaryCall;

function unary<Q, A>(method: UnaryMethod<Q, A>, request: Q, signal: AbortSignal): Promise<A> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + clientLimits.callTimeoutMs };
    const call = method(request, new Metadata(), options, (error, answer) => {
      signal.removeEventListener('abort', cancel);
      if (error === null) resolve(answer);
      else reject(errorOf(error));
    });
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
  });
}

async function* stream<T>(call: ClientReadableStream<T>, signal: AbortSignal): AsyncGenerator<T, void> {
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    for await (const item of call) yield item as T;
  } catch (error) {
    throw errorOf(error as ServiceError);
  } finally {
    signal.removeEventListener('abort', cancel);
    call.cancel();
  }
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  [grpcStatus.UNAVAILABLE]: 'unavailable',
  [grpcStatus.DEADLINE_EXCEEDED]: 'timeout',
  [grpcStatus.NOT_FOUND]: 'not_found',
  [grpcStatus.INVALID_ARGUMENT]: 'invalid',
  [grpcStatus.CANCELLED]: 'unavailable',
};

function errorOf(error: ServiceError): JarvisError {
  return new JarvisError(CODES[error.code] ?? 'internal', error.details ?? error.message, { cause: error });
}
