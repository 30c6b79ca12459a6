/**
 * One request to a webhook. Whoever answers with a 2xx has taken it; everything else has not. Redirects are not followed: a
 * message is for the address that an admin has named. Nothing of the answer but its head is read, nor shown anywhere.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';

import type { Clock } from '../../lib/clock.ts';
import { limits } from '../../lib/limits.ts';
import { request as httpRequest } from '../../lib/node-http.ts';

export interface PostOptions {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Aborted: the request ends at once. */
  readonly signal: AbortSignal;
}

export interface PostOutcome {
  /** For people; null: it was taken. */
  readonly failure: string | null;
  /** Null: there was no answer. */
  readonly status: number | null;
  /** As the receiver asks; null: it does not. */
  readonly retryAfterMs: number | null;
}

const { request: httpsRequest } = process.getBuiltinModule('node:https');

/** Never rejects. */
export function post(options: PostOptions): Promise<PostOutcome> {
  const { url, body, headers, timeoutMs, clock, signal } = options;
  return new Promise((resolve) => {
    const finish = (outcome: PostOutcome): void => {
      cancel();
      signal.removeEventListener('abort', abort);
      resolve(outcome);
      request.destroy();
    };
    const fail = (failure: string): void => finish({ failure, status: null, retryAfterMs: null });
    const request = open(url, {
      method: 'POST',
      agent: false,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        accept: '*/*',
        ...headers,
      },
    });
    const cancel = clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs / 1000} s`));
    const abort = (): void => fail('interrupted');
    // Also of what comes once it is destroyed; the promise is settled by then.
    request.on('error', (error) => fail(wordsOf(error)));
    request.on('response', (response) => finish(outcomeOf(response, clock.wallMs())));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    request.end(body);
  });
}

function open(url: string, options: RequestOptions): ClientRequest {
  if (url.startsWith('https:')) return httpsRequest(url, { ...options, rejectUnauthorized: true });
  return httpRequest(url, options);
}

function outcomeOf({ statusCode: status = 0, headers }: IncomingMessage, nowMs: number): PostOutcome {
  if (status >= 200 && status < 300) return { failure: null, status, retryAfterMs: null };
  const isRedirect = status >= 300 && status < 400 && headers.location !== undefined;
  const failure = `answered ${status}${isRedirect ? ' (redirects are not followed)' : ''}`;
  return { failure, status, retryAfterMs: askedWaitMs(headers['retry-after'], nowMs) };
}

/** Seconds, or a date (RFC 9110, section 10.2.3); more than anybody will wait counts as that. Null: it says neither. */
function askedWaitMs(asked: string | undefined, nowMs: number): number | null {
  if (asked === undefined) return null;
  const isDate = asked.endsWith(' GMT');
  if (!isDate && !/^\d+$/.test(asked)) return null;
  const waitMs = isDate ? Date.parse(asked) - nowMs : Number(asked) * 1000;
  if (Number.isNaN(waitMs)) return null;
  return Math.min(limits.alertRetryMostMs, Math.max(0, waitMs));
}

/** Of several addresses that all failed there is a code, and no message. */
function wordsOf(error: Error & { readonly code?: unknown }): string {
  if (error.message !== '') return error.message;
  return typeof error.code === 'string' ? error.code : 'the connection failed';
}
