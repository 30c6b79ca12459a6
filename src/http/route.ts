/** One path of the API with its methods. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

export type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
type Handlers = Readonly<Partial<Record<'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT', Handler>>>;

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** The methods of one path; every other method is answered with 405 and the ones there are. */
export function on(app: FastifyInstance, url: string, handlers: Handlers): void {
  for (const [method, handler] of Object.entries(handlers)) {
    // HEAD of a stream would read it all.
    app.route({ method, url, handler, exposeHeadRoute: !isStream(url) });
  }
  const allowed = new Set<string>(Object.keys(handlers));
  if (allowed.has('GET') && !isStream(url)) allowed.add('HEAD');
  app.route({
    method: METHODS.filter((method) => !allowed.has(method)),
    url,
    // Before any body is looked at.
    onRequest: async (request, reply) => {
      const error = new JarvisError('malformed', `${request.method} is not allowed here`);
      return reply
        .code(405)
        .header('allow', [...allowed].join(', '))
        .header('content-type', PROBLEM_TYPE)
        .send(JSON.stringify(problemOf(error, 405)));
    },
    handler: async () => undefined,
  });
}

function isStream(url: string): boolean {
  return url.endsWith('/logs') || url === '/events';
}

export function parameter(request: FastifyRequest, name: string): string {
  const value = (request.params as Readonly<Record<string, string | undefined>>)[name];
  return value ?? '';
}
