/** JarvisErrors as gRPC carries them: the status of `ERROR_CODES`, and in the metadata the code itself and the faults. */
import * as grpc from '@grpc/grpc-js';

import type { ErrorCode, Fault } from '../lib/errors.ts';
import { ERROR_CODES, JarvisError, isErrorCode, messageOf } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';

const CODE_KEY = 'jarvis-code';
/** JSON in UTF-8: keys that end so carry bytes. */
const FAULTS_KEY = 'jarvis-faults-bin';

/** Milliseconds. */
const RETRY_AFTER_KEY = 'jarvis-retry-after-ms';

/** HTTP/2 peers take 16 to 64 KiB of headers in all; percent and base64 encoding make text up to three times as long. */
const MAX_MESSAGE_BYTES = 4096;
const MAX_FAULTS_BYTES = 8192;

/** What a server sends for anything thrown. Whatever is no JarvisError is a bug: internal. */
export function toStatus(error: unknown): grpc.StatusObject {
  const known = error instanceof JarvisError ? error : new JarvisError('internal', messageOf(error));
  const metadata = new grpc.Metadata();
  metadata.set(CODE_KEY, known.code);
  if (known.faults.length > 0) metadata.set(FAULTS_KEY, encodeFaults(known.faults));
  if (known.retryAfterMs !== null) metadata.set(RETRY_AFTER_KEY, String(Math.ceil(known.retryAfterMs)));
  const code: number = ERROR_CODES[known.code].grpc;
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the table of codes, which lib owns, needs no gRPC
  return { code, details: shorten(known.message), metadata };
}

/** The code of ours that a status carries, where it does. */
export function codeIn(metadata: grpc.Metadata | null | undefined): ErrorCode | null {
  const [code] = metadata?.get(CODE_KEY) ?? [];
  return isErrorCode(code) ? code : null;
}

/**
 * What a failed call means to the caller.
 * @param options.address who was asked, for the message
 * @param options.write the call changes something, so that it matters whether it may have happened
 */
export function fromServiceError(
  error: unknown,
  options: { readonly address: string; readonly write: boolean },
): JarvisError {
  if (error instanceof JarvisError) return error;
  if (!isServiceError(error)) return new JarvisError('internal', messageOf(error), { cause: error });
  const code = codeIn(error.metadata);
  if (code !== null)
    return new JarvisError(code, error.details, {
      cause: error,
      faults: faultsIn(error),
      ...retryAfterIn(error.metadata),
    });
  const { address, write } = options;
  if (error.code === grpc.status.UNIMPLEMENTED)
    return new JarvisError(
      'unavailable',
      `${address} does not know this request (an earlier version?): ${error.details}`,
      {
        cause: error,
        retryAfterMs: limits.upgradeRetryMs,
      },
    );
  return new JarvisError(codeOfStatus(error.code, write), `${address}: ${error.details}`, { cause: error });
}

/**
 * Statuses that come without a code of ours: those that a gRPC library makes itself, or a server that is none of ours.
 * Only calls over a connection that stood are made: what broke may have been done before.
 */
export const STATUS_CODES = {
  [grpc.status.OK]: { read: 'internal', write: 'internal' },
  [grpc.status.CANCELLED]: { read: 'unavailable', write: 'outcome_unknown' },
  [grpc.status.UNKNOWN]: { read: 'internal', write: 'internal' },
  [grpc.status.INVALID_ARGUMENT]: { read: 'malformed', write: 'malformed' },
  [grpc.status.DEADLINE_EXCEEDED]: { read: 'timeout', write: 'outcome_unknown' },
  [grpc.status.NOT_FOUND]: { read: 'not_found', write: 'not_found' },
  [grpc.status.ALREADY_EXISTS]: { read: 'conflict', write: 'conflict' },
  [grpc.status.PERMISSION_DENIED]: { read: 'forbidden', write: 'forbidden' },
  [grpc.status.RESOURCE_EXHAUSTED]: { read: 'too_large', write: 'too_large' },
  [grpc.status.FAILED_PRECONDITION]: { read: 'conflict', write: 'conflict' },
  [grpc.status.ABORTED]: { read: 'conflict', write: 'conflict' },
  [grpc.status.OUT_OF_RANGE]: { read: 'internal', write: 'internal' },
  [grpc.status.UNIMPLEMENTED]: { read: 'unavailable', write: 'unavailable' },
  [grpc.status.INTERNAL]: { read: 'internal', write: 'internal' },
  [grpc.status.UNAVAILABLE]: { read: 'unavailable', write: 'outcome_unknown' },
  [grpc.status.DATA_LOSS]: { read: 'internal', write: 'internal' },
  [grpc.status.UNAUTHENTICATED]: { read: 'unauthenticated', write: 'unauthenticated' },
} as const satisfies Record<grpc.status, { readonly read: ErrorCode; readonly write: ErrorCode }>;

function codeOfStatus(status: number, write: boolean): ErrorCode {
  if (!Object.hasOwn(STATUS_CODES, status)) return 'internal';
  return STATUS_CODES[status as keyof typeof STATUS_CODES][write ? 'write' : 'read'];
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'number' &&
    'details' in error &&
    typeof error.details === 'string' &&
    'metadata' in error &&
    error.metadata instanceof grpc.Metadata
  );
}

function encodeFaults(faults: readonly Fault[]): Buffer {
  let kept = faults.map(({ path, message }) => ({ path: shorten(path), message: shorten(message) }));
  for (;;) {
    const bytes = Buffer.from(JSON.stringify(kept));
    if (bytes.length <= MAX_FAULTS_BYTES) return bytes;
    kept = kept.slice(0, Math.floor(kept.length / 2));
  }
}

/** The faults as the server sent them; none where they are not readable, which no server of ours sends. */
function faultsIn(error: grpc.ServiceError): readonly Fault[] {
  const [bytes] = error.metadata.get(FAULTS_KEY);
  if (!Buffer.isBuffer(bytes)) return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString());
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.filter(
    (fault: unknown): fault is Fault =>
      typeof fault === 'object' &&
      fault !== null &&
      'path' in fault &&
      typeof fault.path === 'string' &&
      'message' in fault &&
      typeof fault.message === 'string',
  );
}

function retryAfterIn(metadata: grpc.Metadata): { readonly retryAfterMs?: number } {
  const [text] = metadata.get(RETRY_AFTER_KEY);
  const retryAfterMs = typeof text === 'string' && /^\d{1,12}$/.test(text) ? Number(text) : null;
  return retryAfterMs === null ? {} : { retryAfterMs };
}

/** Valid Unicode (grpc-js cannot send anything else) within the bound. */
function shorten(text: string): string {
  const wellFormed = text.toWellFormed();
  if (Buffer.byteLength(wellFormed) <= MAX_MESSAGE_BYTES) return wellFormed;
  const cut = Buffer.from(wellFormed).subarray(0, MAX_MESSAGE_BYTES).toString();
  return `${cut.replace(/\ufffd+$/, '')}…`;
}
