/** Failures as RFC 9457 `application/problem+json`, with the stable code and one entry per fault. */
import type { FastifyReply } from 'fastify';

import type { Fault } from '../lib/errors.ts';
import { ERROR_CODES, JarvisError } from '../lib/errors.ts';
import { STATUS_CODES } from '../lib/node-http.ts';

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';
/** Seconds after which another try makes sense, with every 503. */
export const RETRY_AFTER_SECONDS = 1;

export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly faults?: readonly Fault[];
}

/** @param status where HTTP knows better than the table of codes, such as 405 */
export function problemOf(error: JarvisError, status: number = ERROR_CODES[error.code].http): Problem {
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    ...(error.faults.length > 0 ? { faults: error.faults } : {}),
  };
}

/** What Fastify throws before a handler runs: the request itself is at fault. Null for anything else. */
export function requestFault(
  error: unknown,
): { readonly error: JarvisError; readonly status: number } | null {
  // It knows itself what it is, whatever fastify has written on it.
  if (error instanceof JarvisError) return null;
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return null;
  const status = error.statusCode;
  if (typeof status !== 'number' || status < 400 || status > 499) return null;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return { error: new JarvisError('too_large', 'the body is larger than 16 MiB'), status };
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return {
      error: new JarvisError('malformed', 'the body must be JSON: Content-Type: application/json'),
      status,
    };
  }
  return { error: new JarvisError('malformed', error.message, { cause: error }), status };
}

/** @param status where HTTP knows better than the table of codes */
export function sendProblem(reply: FastifyReply, error: JarvisError, status?: number): FastifyReply {
  const problem = problemOf(error, status);
  return reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}
