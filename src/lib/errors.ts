import { withoutTokens } from './token-text.ts';

/**
 * Every failure that a caller may see has a stable code; this table alone says what it becomes in HTTP, in gRPC and
 * as an exit status of `jarvisctl`. Nothing ever matches on a message's text.
 */
export const ERROR_CODES = {
  malformed: { http: 400, grpc: 3, exit: 2 },
  invalid: { http: 422, grpc: 3, exit: 2 },
  unauthenticated: { http: 401, grpc: 16, exit: 1 },
  forbidden: { http: 403, grpc: 7, exit: 1 },
  not_found: { http: 404, grpc: 5, exit: 1 },
  ambiguous: { http: 409, grpc: 9, exit: 2 },
  conflict: { http: 409, grpc: 9, exit: 1 },
  idempotency_conflict: { http: 409, grpc: 6, exit: 1 },
  too_large: { http: 413, grpc: 8, exit: 2 },
  too_many: { http: 429, grpc: 8, exit: 1 },
  logs_unavailable: { http: 410, grpc: 5, exit: 1 },
  compacted: { http: 410, grpc: 11, exit: 1 },
  internal: { http: 500, grpc: 13, exit: 1 },
  no_leader: { http: 503, grpc: 14, exit: 3 },
  unavailable: { http: 503, grpc: 14, exit: 3 },
  outcome_unknown: { http: 504, grpc: 4, exit: 3 },
  timeout: { http: 504, grpc: 4, exit: 124 },
} as const satisfies Record<string, { http: number; grpc: number; exit: number }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One thing wrong with an input: where (a JSON path such as `resources.cpu`), and what. */
export interface Fault {
  readonly path: string;
  readonly message: string;
}

/** A failure that is part of the product's behaviour, as opposed to a bug ({@link InvariantError}). */
export class JarvisError extends Error {
  override readonly name = 'JarvisError';
  readonly code: ErrorCode;
  /** One entry per fault of the input; empty where the input is not to blame. */
  readonly faults: readonly Fault[];
  /** After so long another try makes sense; null where nobody knows. */
  readonly retryAfterMs: number | null;

  /** @param message may repeat what a caller has sent: the secrets of tokens in it are left out, in faults, too */
  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; faults?: readonly Fault[]; retryAfterMs?: number } = {},
  ) {
    super(withoutTokens(message), options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.faults = (options.faults ?? []).map(withoutTokensIn);
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

function withoutTokensIn({ path, message }: Fault): Fault {
  return { path: withoutTokens(path), message: withoutTokens(message) };
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CODES, value);
}

/** The message of anything thrown, for logs and for wrapping. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
