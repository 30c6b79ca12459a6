/** Bodies: JSON in UTF-8 that says everything once and is kept as it was written. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { JarvisError } from '../lib/errors.ts';
import { jsonFindings } from '../lib/json-text.ts';
import { formatPath, isSecretPlace, show } from '../spec/faults.ts';
import { routeOf } from './route.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

export function takeJson(app: FastifyInstance): void {
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
