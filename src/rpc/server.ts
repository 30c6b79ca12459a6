/** The one gRPC server of a node: peers, workers and clients all use its address. */
import { createServer as createProbe } from 'node:net';

import * as grpc from '@grpc/grpc-js';

import { cannotListen, joinAddress, splitAddress } from '../lib/address.ts';
import { serverCredentials, serverOptions } from './channel.ts';

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
}): Promise<RpcServer> {
  const { host, port: wanted } = splitAddress(options.listen);
  await probe(host, wanted);
  const server = new grpc.Server(serverOptions);
  for (const { definition, handlers } of options.services) server.addService(definition, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.listen, serverCredentials(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(cannotListen(options.listen, error));
    });
  });
  return {
    address: joinAddress(host, port),
    port,
    async close(graceMs) {
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

/** grpc-js says only that it bound no address; a plain socket says why. */
async function probe(host: string, port: number): Promise<void> {
  const socket = createProbe();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(cannotListen(joinAddress(host, port), error)));
      socket.listen({ host, port, exclusive: true }, resolve);
    });
  } finally {
    await new Promise<void>((resolve) => {
      socket.close(() => resolve());
    });
  }
}
