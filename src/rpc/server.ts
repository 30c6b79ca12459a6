/** The one gRPC server of a node: peers, workers and clients all use its address. */
import { createServer as createListener, type Server as Listener, type Socket } from 'node:net';

import * as grpc from '@grpc/grpc-js';

import { cannotListen, joinAddress, splitAddress } from '../lib/address.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { silentLog, type Log } from '../lib/log.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { serverOptions } from './channel.ts';
import { TlsListener } from './tls-listener.ts';

export interface Service {
  readonly definition: grpc.ServiceDefinition;
  readonly handlers: grpc.UntypedServiceImplementation;
}

export interface RpcServer {
  /** `host:port`, with the port that was bound. */
  readonly address: string;
  readonly port: number;
  /** Takes no new calls; those under way have `graceMs` to end. */
  close(graceMs: number): Promise<void>;
}

/**
 * Starts listening.
 * @param options.listen `host:port`; port 0 takes a free one
 * @throws JarvisError conflict where the address cannot be listened on, invalid where it is none
 */
export async function createServer(options: {
  readonly services: readonly Service[];
  readonly listen: string;
  /** Default: plain text. */
  readonly tls?: TlsSource | null;
  readonly log?: Log;
  readonly clock?: Clock;
}): Promise<RpcServer> {
  const { host, port: wanted } = splitAddress(options.listen);
  const { tls = null, clock = systemClock, log = silentLog } = options;
  const secured = (socket: Socket): void => injector.injectConnection(socket);
  const front = tls === null ? null : new TlsListener({ source: tls, secured, clock, log });
  const interceptors = front === null ? [] : [front.interceptor];
  const server = new grpc.Server({ ...serverOptions, interceptors });
  for (const { definition, handlers } of options.services) server.addService(definition, handlers);
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const listener = createListener((socket) => {
    if (front === null) secured(socket);
    else front.accept(socket);
  });
  const port = await listenOn(listener, host, wanted);
  return {
    address: joinAddress(host, port),
    port,
    async close(graceMs) {
      front?.close();
      listener.close();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}

/** @returns the port that was bound @throws JarvisError conflict */
async function listenOn(listener: Listener, host: string, wanted: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    listener.once('error', (error) => reject(cannotListen(joinAddress(host, wanted), error)));
    listener.listen({ host, port: wanted, exclusive: true }, resolve);
  });
  const address = listener.address();
  return address === null || typeof address === 'string' ? wanted : address.port;
}
