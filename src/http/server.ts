/** The HTTP API of a node: JSON over the same operations as gRPC. */
import compress from '@fastify/compress';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fastify } from 'fastify';

import { cannotListen, joinAddress, splitAddress } from '../lib/address.ts';
import { ByteBudget } from '../lib/byte-budget.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { withoutTokens } from '../lib/token-text.ts';
import type { ClusterOperations, Readiness } from '../operations/port.ts';
import type { HttpAdmission } from './authentication.ts';
import { requireTokens } from './authentication.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import type { ConnectionBounds } from './connections.ts';
import { Connections } from './connections.ts';
import { defend } from './defences.ts';
import { httpsContext, renewHttps } from './https.ts';
import { takeJson } from './json-body.ts';
import { RETRY_AFTER_SECONDS, problemOf, requestFault, sendProblem } from './problem.ts';
import { Calls } from './requests.ts';
import { registerRoutes, routeOf, type MetricsText } from './route.ts';
import { ROUTES } from './routes/table.ts';

export interface HttpServer {
  /** For tests, which inject requests without a port. */
  readonly app: FastifyInstance;
  /**
   * @param address `host:port`; port 0 takes a free one
   * @returns `host:port` as bound
   * @throws JarvisError conflict where the address cannot be listened on, invalid where it is none
   */
  listen(address: string): Promise<string>;
  /** Takes no new connections and ends streams; other answers have `graceMs` to be finished. Once more does nothing. */
  close(graceMs: number): Promise<void>;
}

/** A request whose answer has gone out. */
export interface AnsweredRequest {
  readonly method: string;
  /** Pattern of its path; null: there is none like it. */
  readonly route: string | null;
  readonly status: number;
  readonly isStream: boolean;
  readonly durationMs: number;
}

const DEFAULT_BOUNDS: ConnectionBounds = {
  headersTimeoutMs: limits.httpHeadersTimeoutMs,
  requestTimeoutMs: limits.httpRequestTimeoutMs,
  checkIntervalMs: limits.httpCheckIntervalMs,
  stallMs: limits.httpStallMs,
};

export function createHttpServer(options: {
  readonly operations: ClusterOperations;
  readonly readiness: () => Readiness;
  readonly log: Log;
  /** Null, or absent: whoever calls may do everything. */
  readonly admission?: HttpAdmission | null;
  /** JSON Schema of the file of a node's settings; absent: of none. */
  readonly nodeFileSchema?: () => object;
  /** Absent: none are kept. */
  readonly metrics?: MetricsText | null;
  readonly onAnswered?: (request: AnsweredRequest) => void;
  /** Default: plain text. */
  readonly tls?: TlsSource | null;
  /** See {@link DefenceOptions}; absent: any. */
  readonly hosts?: readonly string[] | null;
  /** See {@link DefenceOptions}; absent: as by default. */
  readonly requestsPerSecond?: number;
  /** Of bodies, all together; absent: as by default. */
  readonly receivedBytes?: number;
  /** Tests have less patience. */
  readonly bounds?: Partial<ConnectionBounds>;
}): HttpServer {
  const { log, tls = null } = options;
  const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
  const connections = new Connections(bounds);
  const listener = {
    headersTimeout: bounds.headersTimeoutMs,
    connectionsCheckingInterval: bounds.checkIntervalMs,
    maxHeaderSize: limits.httpHeaderBytes,
    // Node.js would refuse it without a word of what is wrong.
    requireHostHeader: false,
    // A peer that has gone without a word is found out in the end.
    keepAlive: true,
    keepAliveInitialDelay: limits.httpKeepAliveMs,
  };
  const app = fastify({
    ...(tls === null
      ? { http: listener }
      : {
          https: { ...httpsContext(tls.current), ...listener, handshakeTimeout: bounds.headersTimeoutMs },
        }),
    logger: false,
    bodyLimit: limits.httpBodyBytes,
    requestTimeout: bounds.requestTimeoutMs,
    keepAliveTimeout: limits.httpKeepAliveMs,
    forceCloseConnections: 'idle',
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
    // What comes on a connection that stood before is answered like the rest.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    // Paths that cannot be decoded never reach the error handler.
    frameworkErrors: (error, _request, reply) => void answer(reply, error),
  });
  app.server.maxConnections = limits.httpConnections;
  // All of them are counted, below; Node.js would drop what is too much without a word.
  app.server.maxHeadersCount = 0;
  connections.bound(app.server);
  const unsubscribe = tls === null ? null : renewHttps(app, tls);
  const answer = (reply: Parameters<Parameters<typeof app.setErrorHandler>[0]>[2], error: unknown) => {
    const fault = requestFault(error);
    const known =
      fault?.error ?? (error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error)));
    if (known.code === 'internal') {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ url: withoutTokens(reply.request.url), error: messageOf(error), stack }, 'request failed');
    }
    const problem = problemOf(known, fault?.status);
    if (problem.status === 503) reply.header('retry-after', String(RETRY_AFTER_SECONDS));
    if (known.retryAfterMs !== null)
      reply.header('retry-after', String(Math.ceil(known.retryAfterMs / 1000)));
    if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
    // fastify would close the connection, and a client that is still sending would see that before the answer. Node.js
    // reads what comes to its end instead, for as long as a request may take.
    if (problem.status === 413) reply.removeHeader('connection');
    return sendProblem(reply, known, fault?.status);
  };
  defend(app, {
    hosts: options.hosts ?? null,
    requestsPerSecond: options.requestsPerSecond ?? limits.httpRate,
  });
  app.setErrorHandler((error, _request, reply) => answer(reply, error));
  app.setNotFoundHandler((request, reply) =>
    answer(reply, new JarvisError('not_found', `there is nothing at ${request.url.slice(0, 200)}`)),
  );
  if (options.admission !== undefined && options.admission !== null) requireTokens(app, options.admission);
  const { onAnswered } = options;
  if (onAnswered !== undefined)
    app.addHook('onResponse', async (request, reply) => onAnswered(answeredRequest(request, reply)));
  takeJson(app, new ByteBudget(options.receivedBytes ?? limits.httpReceivedBytes));
  const calls = new Calls();
  void app.register(compress, {
    encodings: ['br', 'gzip'],
    threshold: limits.httpCompressedBytes,
    globalDecompression: false,
  });
  const parts = { nodeFileSchema: () => ({}), metrics: null, ...options, calls };
  // Behind the compression, which looks at each route as it comes.
  void app.register(async (scope) => registerRoutes(scope, ROUTES, parts));
  return {
    app,
    async listen(address) {
      const { host, port } = splitAddress(address);
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw cannotListen(address, error);
      }
      const bound = app.server.address();
      return joinAddress(host, typeof bound === 'object' && bound !== null ? bound.port : port);
    },
    async close(graceMs) {
      const timer = setTimeout(() => {
        calls.abort(new JarvisError('unavailable', 'this node is shutting down'));
        app.server.closeAllConnections();
      }, graceMs);
      calls.abortStreams(new JarvisError('unavailable', 'this node is shutting down'));
      unsubscribe?.();
      await app.close();
      clearTimeout(timer);
    },
  };
}

function answeredRequest(request: FastifyRequest, reply: FastifyReply): AnsweredRequest {
  const { method, routeOptions } = request;
  const { statusCode: status, elapsedTime: durationMs } = reply;
  const isStream = routeOf(request)?.isStream === true;
  return { method, route: routeOptions.url ?? null, status, isStream, durationMs };
}
