/** What a node listens with: HTTP and gRPC, from its beginning. */
import { createHttpServer, type HttpServer } from '../http/server.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { ClusterOperations, Readiness } from '../operations/port.ts';
import { healthService } from '../rpc/health-service.ts';
import { createServer, type RpcServer, type Service } from '../rpc/server.ts';
import { ownHosts, type NodeConfig } from './config.ts';
import type { Guarding } from './guarding.ts';
import { nodeFileSchema } from './node-file-schema.ts';
import type { NodeMetrics } from './node-metrics.ts';
import type { NodeSecurity } from './node-security.ts';

/** What calls under way get to end at a stop. */
export const CLOSE_GRACE_MS = 300;

export interface Listeners {
  readonly http: HttpServer;
  readonly rpc: RpcServer;
}

/**
 * @param options.closing is told at once of what is to be closed, also where a later part fails
 * @throws JarvisError conflict where an address cannot be listened on
 */
export async function listen(options: {
  readonly config: NodeConfig;
  readonly security: NodeSecurity;
  readonly operations: ClusterOperations;
  readonly services: readonly Service[];
  readonly guarding: Guarding;
  readonly readiness: () => Readiness;
  readonly metrics: NodeMetrics;
  readonly closing: (name: string, close: () => Promise<void>) => void;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Listeners> {
  const { config, security, operations, services, guarding, readiness, metrics, closing, clock, log } =
    options;
  const http = createHttpServer({
    operations,
    tls: security.tls,
    readiness,
    log,
    admission: guarding.http,
    hosts: ownHosts(config),
    requestsPerSecond: config.httpRate,
    nodeFileSchema,
    metrics: metrics.text,
    onAnswered: (request) => metrics.calls.httpEnded(request),
  });
  closing('HTTP', () => http.close(CLOSE_GRACE_MS));
  await http.listen(config.http);
  const definitions = services.map(({ definition }) => definition);
  const health = healthService({ readiness, services: definitions, clock, log });
  const rpc = await createServer({
    services: [...services, health],
    listen: config.listen,
    tls: security.tls,
    onRefused: ({ from, code, isUnknown }) =>
      guarding.nodes.refused(from, code, isUnknown ? 'unauthenticated' : 'forbidden'),
    clock,
    log,
    onEnded: (call) => metrics.calls.rpcEnded(call),
  });
  closing('gRPC', () => rpc.close(CLOSE_GRACE_MS));
  log.info({ listen: config.listen, http: config.http }, 'listening');
  return { http, rpc };
}
