/** The one gRPC server of a node: peers, workers and clients all use its address. */
import { createServer as createProbe } from 'node:net';

import * as grpc from '@grpc/grpc-js';

import { JarvisError, messageOf } from '../lib/errors.ts';
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
    address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
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

/** @throws JarvisError invalid where the text is not `host:port` or `[ipv6]:port` */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new JarvisError('invalid', `${JSON.stringify(address)} is not an address: host:port`);
  }
  return { host, port };
}

/** grpc-js says only that it bound no address; a plain socket says why. */
async function probe(host: string, port: number): Promise<void> {
  const socket = createProbe();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(cannotListen(`${host}:${port}`, error)));
      socket.listen({ host, port, exclusive: true }, resolve);
    });
  } finally {
    await new Promise<void>((resolve) => {
      socket.close(() => resolve());
    });
  }
}

/** The same words wherever a port is opened. */
export function cannotListen(address: string, cause: Error): JarvisError {
  const code = 'code' in cause ? cause.code : undefined;
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is in use',
    EACCES: 'not permitted',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'no such host',
  };
  const reason = (typeof code === 'string' ? reasons[code] : undefined) ?? messageOf(cause);
  return new JarvisError('conflict', `cannot listen on ${address}: ${reason}`, { cause });
}
