/** The HTTP API of a node: JSON over the same operations as gRPC. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { fastify } from 'fastify';

import { cannotListen, joinAddress, splitAddress } from '../lib/address.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import type { ClusterOperations, Readiness } from '../operations/port.ts';
import { httpsContext, renewHttps } from './https.ts';
import { PROBLEM_TYPE, RETRY_AFTER_SECONDS, problemOf, requestFault } from './problem.ts';
import { Calls } from './requests.ts';
import { registerRoutes, routeOf } from './route.ts';
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

export function createHttpServer(options: {
  readonly operations: ClusterOperations;
  readonly readiness: () => Readiness;
  readonly log: Log;
  /** JSON Schema of the file of a node's settings; absent: of none. */
  readonly nodeFileSchema?: () => object;
  /** Default: plain text. */
  readonly tls?: TlsSource | null;
}): HttpServer {
  const { log, tls = null } = options;
  const app = fastify({
    ...(tls === null ? {} : { https: httpsContext(tls.current) }),
    logger: false,
    bodyLimit: limits.httpBodyBytes,
    requestTimeout: limits.httpRequestTimeoutMs,
    keepAliveTimeout: limits.httpKeepAliveMs,
    forceCloseConnections: 'idle',
    // What comes on a connection that stood before is answered like the rest.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    // Paths that cannot be decoded never reach the error handler.
    frameworkErrors: (error, _request, reply) => void answer(reply, error),
  });
  app.server.maxConnections = limits.httpConnections;
  const unsubscribe = tls === null ? null : renewHttps(app, tls);
  const answer = (reply: Parameters<Parameters<typeof app.setErrorHandler>[0]>[2], error: unknown) => {
    const fault = requestFault(error);
    const known =
      fault?.error ?? (error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error)));
    if (known.code === 'internal') {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ url: reply.request.url, error: messageOf(error), stack }, 'request failed');
    }
    const problem = problemOf(known, fault?.status);
    if (problem.status === 503) reply.header('retry-after', String(RETRY_AFTER_SECONDS));
    // fastify would close the connection, and a client that is still sending would see that before the answer. Node.js
    // reads what comes to its end instead, for as long as a request may take.
    if (problem.status === 413) reply.removeHeader('connection');
    return reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
  };
  app.setErrorHandler((error, _request, reply) => answer(reply, error));
  app.setNotFoundHandler((request, reply) =>
    answer(reply, new JarvisError('not_found', `there is nothing at ${request.url.slice(0, 200)}`)),
  );
  acceptEmptyBodies(app);
  const calls = new Calls();
  registerRoutes(app, ROUTES, { nodeFileSchema: () => ({}), ...options, calls });
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

/** Clients that set a content type on every request send some with one and without a body. */
function acceptEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '' && !needsBody(request)) done(null, undefined);
    else void parse(request, body as string, done);
  });
}

function needsBody(request: FastifyRequest): boolean {
  const body = routeOf(request)?.body;
  return body !== undefined && body.isOptional !== true;
}
