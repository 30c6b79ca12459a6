/** Bodies: JSON in UTF-8 that says everything once and is kept as it was written. */
import type { Readable } from 'node:stream';

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { ByteBudget } from '../lib/byte-budget.ts';
import { JarvisError } from '../lib/errors.ts';
import { jsonFindings } from '../lib/json-text.ts';
import { formatPath, isSecretPlace, show } from '../spec/faults.ts';
import { routeOf } from './route.ts';

const FULL = 'this node holds as much of what its callers have sent as it may: later';
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @param budget of all bodies that are not answered yet: each may be within its bound, and all of them be more than there is */
export function takeJson(app: FastifyInstance, budget: ByteBudget): void {
  app.addHook('preParsing', ({ method }, reply, payload, done) => {
    if (method !== 'GET' && method !== 'HEAD') hold(payload, reply, budget);
    // In the same turn: by the first piece whoever reads is there.
    done(null, payload);
  });
  // Refuses names that reach for prototypes.
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const text = textOf(body as Buffer);
    if (text === null) done(new JarvisError('malformed', 'the body is not UTF-8'));
    // Clients that set a content type on every request send some with one and without a body.
    else if (text === '' && !needsBody(request)) done(null, undefined);
    else
      void parse(request, text, (error, value) => {
        if (error === null) done(faultOf(text), value);
        else done(error);
      });
  });
}

function hold(payload: Readable, reply: FastifyReply, budget: ByteBudget): void {
  const holding = budget.hold();
  const count = ({ length }: Buffer): void => {
    if (holding.take(length)) return;
    payload.off('data', count);
    const error = new JarvisError('too_many', FULL, { retryAfterMs: 1000 });
    // As if it could not be read on: what still comes is dropped. Whoever has stopped reading hears of nothing.
    if (payload.listenerCount('error') > 0) payload.emit('error', error);
  };
  payload.on('data', count);
  reply.raw.once('close', () => {
    payload.off('data', count);
    holding.close();
  });
}

function needsBody(request: FastifyRequest): boolean {
  const body = routeOf(request)?.body;
  return body !== undefined && body.isOptional !== true;
}

function textOf(body: Buffer): string | null {
  try {
    return utf8.decode(body);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function faultOf(text: string): JarvisError | null {
  const found = jsonFindings(text);
  if (found.length === 0) return null;
  const faults = found.map(({ type, path, written }) => ({
    path: formatPath(path),
    message:
      type === 'duplicate'
        ? `${show(written)} stands twice in one object: each name once`
        : `${isSecretPlace(path) ? 'this number' : written.slice(0, 40)} is not allowed: whole numbers up to ${Number.MAX_SAFE_INTEGER}, either way`,
  }));
  const lines = faults.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const isMalformed = found.some(({ type }) => type === 'duplicate');
  return new JarvisError(isMalformed ? 'malformed' : 'invalid', lines.join('; '), { faults });
}
