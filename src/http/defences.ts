/**
 * What a request must pass before anything is done for it, and before it is asked who sends it: not too many of one
 * address, headers within bounds, a host that is this node, and a body that is what it seems.
 */
import { isIP } from 'node:net';

import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { networkOf } from '../lib/address.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { sendProblem } from './problem.ts';

export interface DefenceOptions {
  /**
   * Names under which this node is reached, beside addresses and `localhost`; null: any. Where nobody shows a token, a page
   * in a browser could otherwise have its own name point here, and call what the browser can reach (DNS rebinding).
   */
  readonly hosts: readonly string[] | null;
  /** Of one address, or one IPv6 network of 64 bits, on average over `limits.httpRateWindowMs`. */
  readonly requestsPerSecond: number;
}

export function defend(app: FastifyInstance, options: DefenceOptions): void {
  // Of many requests that came in one piece the connection may be closed already; nothing is made of the rest.
  app.addHook('onRequest', async ({ socket }, reply) => (socket.destroyed ? reply.hijack() : undefined));
  let check: ReturnType<FastifyInstance['createRateLimit']> | null = null;
  void app
    .register(rateLimit, {
      global: false,
      max: Math.ceil((options.requestsPerSecond * limits.httpRateWindowMs) / 1000),
      timeWindow: limits.httpRateWindowMs,
      cache: limits.httpRateAddresses,
      keyGenerator: ({ socket }) => networkOf(socket.remoteAddress ?? ''),
    })
    .after(() => {
      check = app.createRateLimit();
    });
  // Before the hooks of any route, also of those that there are not.
  app.addHook('onRequest', async (request, reply) => {
    const limit = await check?.(request);
    if (limit === undefined || limit.isAllowed || !limit.isExceeded) return;
    reply.header('retry-after', String(Math.max(1, limit.ttlInSeconds)));
    const message = `more than ${limit.max} requests in ${limits.httpRateWindowMs / 1000} s from one address`;
    throw new JarvisError('too_many', message);
  });
  const hosts = options.hosts === null ? null : new Set(options.hosts.map(plainHost));
  app.addHook('onRequest', async (request, reply) => {
    if (request.raw.rawHeaders.length / 2 > limits.httpHeaders) {
      const error = new JarvisError('too_large', `more than ${limits.httpHeaders} headers`);
      return sendProblem(reply, error, 431);
    }
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
      throw new JarvisError('malformed', 'Host: a header that says which host is meant is needed');
    if (hosts !== null) expectHost(request, hosts);
    return expectPlain(request, reply);
  });
}

/** Of `--http` or `--advertise`: without its port. */
function plainHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

/** @throws JarvisError forbidden */
function expectHost({ headers: { host } }: FastifyRequest, allowed: ReadonlySet<string>): void {
  // Only HTTP/1.0 may leave it out, and no browser speaks that.
  if (host === undefined) return;
  const [, bracketed, plain = ''] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  const name = plainHost(bracketed ?? plain);
  if (isIP(name) !== 0 || name === 'localhost' || allowed.has(name)) return;
  const message =
    `the host ${JSON.stringify(host.slice(0, 100))} is not one of this node's: use an address or localhost, ` +
    'or name it in http_hosts';
  throw new JarvisError('forbidden', message);
}

/** A small body that unfolds into a large one is not unfolded. */
async function expectPlain(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return undefined;
  reply.header('accept-encoding', 'identity');
  const error = new JarvisError('malformed', 'the body must not be compressed: no Content-Encoding');
  return sendProblem(reply, error, 415);
}
