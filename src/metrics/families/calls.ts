/** What a node is asked, over gRPC and HTTP. */
import { CALL_BUCKETS, counter, histogram } from '../family.ts';
import type { CounterHandle, HistogramHandle, MetricsRegistry } from '../registry.ts';

export const CALL_FAMILIES = {
  rpc: histogram({
    name: 'jarvis_rpc_duration_seconds',
    help: 'gRPC calls that are answered once, by method and status; also those of other nodes',
    labels: ['method', 'code'],
    buckets: CALL_BUCKETS,
  }),
  http: histogram({
    name: 'jarvis_http_request_duration_seconds',
    help: 'HTTP requests that are answered at once, by the pattern of the path; what no pattern fits is `none`',
    labels: ['method', 'route', 'code'],
    buckets: CALL_BUCKETS,
  }),
  refused: counter({
    name: 'jarvis_requests_refused_total',
    help: 'gRPC calls and HTTP requests that were refused for what they asked, or for who asked',
    labels: ['reason'],
    unit: 'requests',
  }),
} as const;

const REASONS = ['unauthenticated', 'forbidden', 'rate_limited', 'too_large', 'invalid'] as const;
type Reason = (typeof REASONS)[number];

/** By the code of a JarvisError. */
const BY_ERROR: Readonly<Record<string, Reason>> = {
  unauthenticated: 'unauthenticated',
  forbidden: 'forbidden',
  too_many: 'rate_limited',
  too_large: 'too_large',
  malformed: 'invalid',
  invalid: 'invalid',
};
const BY_RPC_STATUS: Readonly<Record<string, Reason>> = {
  UNAUTHENTICATED: 'unauthenticated',
  PERMISSION_DENIED: 'forbidden',
  RESOURCE_EXHAUSTED: 'too_large',
  INVALID_ARGUMENT: 'invalid',
};
const BY_HTTP_STATUS: Readonly<Record<number, Reason>> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'forbidden',
  405: 'invalid',
  413: 'too_large',
  414: 'too_large',
  415: 'invalid',
  422: 'invalid',
  429: 'rate_limited',
  431: 'too_large',
};

export class CallMetrics {
  readonly #rpc: HistogramHandle<'method' | 'code'>;
  readonly #http: HistogramHandle<'method' | 'route' | 'code'>;
  readonly #refused: CounterHandle<'reason'>;

  constructor(registry: MetricsRegistry) {
    this.#rpc = registry.histogram(CALL_FAMILIES.rpc);
    this.#http = registry.histogram(CALL_FAMILIES.http);
    this.#refused = registry.counter(CALL_FAMILIES.refused);
    for (const reason of REASONS) this.#refused.add(0, { reason });
  }

  /**
   * A call has got its status.
   * @param call.method as `service/method`
   * @param call.status by its name in gRPC
   * @param call.error code of the JarvisError; null: none was told
   */
  rpcEnded(call: {
    readonly method: string;
    readonly status: string;
    readonly error: string | null;
    readonly isStream: boolean;
    readonly durationMs: number;
  }): void {
    const { method, status, error, isStream, durationMs } = call;
    if (!isStream) this.#rpc.observe(durationMs / 1000, { method, code: status });
    this.#refuse(error === null ? BY_RPC_STATUS[status] : BY_ERROR[error]);
  }

  /** A request has been answered. @param request.route null: there is none like it */
  httpEnded(request: {
    readonly method: string;
    readonly route: string | null;
    readonly status: number;
    readonly isStream: boolean;
    readonly durationMs: number;
  }): void {
    const { method, route, status, isStream, durationMs } = request;
    if (!isStream)
      this.#http.observe(durationMs / 1000, { method, route: route ?? 'none', code: String(status) });
    this.#refuse(BY_HTTP_STATUS[status]);
  }

  #refuse(reason: Reason | undefined): void {
    if (reason !== undefined) this.#refused.add(1, { reason });
  }
}
