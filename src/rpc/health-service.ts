/** The standard health service (proto/health.proto), as load balancers and probes of any make ask it. */
import type * as grpc from '@grpc/grpc-js';

import type { HealthCheckRequest, HealthCheckResponse, HealthServer } from '../generated/health.ts';
import { HealthCheckResponse_ServingStatus as ServingStatus, HealthService } from '../generated/health.ts';
import type { Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import type { Log } from '../lib/log.ts';
import { quoted } from '../lib/quoted.ts';
import type { CallContext, Readiness } from '../operations/port.ts';
import { pause } from '../operations/waiting.ts';
import { streamHandler, unaryHandler } from './handlers.ts';
import type { Service } from './server.ts';
import { serviceName } from './service-name.ts';

export interface HealthOptions {
  readonly readiness: () => Readiness;
  /** Those of the node, beside this one. */
  readonly services: readonly grpc.ServiceDefinition[];
  readonly clock: Clock;
  readonly log: Log;
}

export function healthService(options: HealthOptions): Service {
  const health = new Health(options);
  const handlers: HealthServer = {
    check: unaryHandler((request) => health.check(request), options.log),
    watch: streamHandler((request, context) => health.watch(request, context), options.log),
  };
  return { definition: HealthService, handlers };
}

class Health {
  readonly #options: HealthOptions;
  readonly #names: ReadonlySet<string>;
  #watches = 0;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#names = new Set(['', ...[...options.services, HealthService].map(serviceName)]);
  }

  /** @throws JarvisError not_found for a name that is no service of this node */
  check({ service }: HealthCheckRequest): HealthCheckResponse {
    if (!this.#names.has(service))
      throw new JarvisError('not_found', `there is no service ${quoted(service.slice(0, 256))} here`);
    return { status: this.#status() };
  }

  /** @throws JarvisError too_many where as many watch already as may */
  async *watch(
    { service }: HealthCheckRequest,
    { signal }: CallContext,
  ): AsyncGenerator<HealthCheckResponse, void> {
    if (this.#watches >= limits.healthWatches)
      throw new JarvisError(
        'too_many',
        `${limits.healthWatches} callers watch the health of this node already`,
      );
    this.#watches += 1;
    try {
      let known: string | null = null;
      for (;;) {
        const status = this.#names.has(service) ? this.#status() : ServingStatus.SERVICE_UNKNOWN;
        if (status !== known) yield { status };
        known = status;
        await pause(this.#options.clock, limits.healthPollMs, signal);
      }
    } finally {
      this.#watches -= 1;
    }
  }

  #status(): ServingStatus {
    return this.#options.readiness().ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}
