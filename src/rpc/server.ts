/**
 * The one gRPC server of a node: peers, workers and clients all use its address. The sockets are accepted here and handed
 * to grpc-js, which bounds neither their number nor the time that one may be silent from its beginning.
 */
import { createServer as createListener, type Server as Listener, type Socket } from 'node:net';

import * as grpc from '@grpc/grpc-js';

import { cannotListen, joinAddress, splitAddress } from '../lib/address.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { limits } from '../lib/limits.ts';
import { silentLog, type Log } from '../lib/log.ts';
import { RepeatedLines } from '../lib/repeated-lines.ts';
import type { TlsSource } from '../lib/tls-watch.ts';
import { CallBounds, type EndedCall } from './call-bounds.ts';
import { serverOptions } from './channel.ts';
import { TlsListener, type OnRefused } from './tls-listener.ts';

/** At a stop, for the status of the calls that are ended to reach their clients. */
const STATUS_GRACE_MS = 100;

export interface Service {
  readonly definition: grpc.ServiceDefinition;
  readonly handlers: grpc.UntypedServiceImplementation;
}

export interface RpcServer {
  /** `host:port`, with the port that was bound. */
  readonly address: string;
  readonly port: number;
  /** With TLS only those serve each other, beside Raft's own rules: names of nodes. */
  setMembers(names: ReadonlySet<string>): void;
  /** From now on callers' streams end with UNAVAILABLE, those that are open and those that come. */
  endStreams(): void;
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
  /** Told of each certificate that is refused. */
  readonly onRefused?: OnRefused;
  readonly clock?: Clock;
  readonly log?: Log;
  /** Of calls that are answered once, and streams of clients. */
  readonly onEnded?: (call: EndedCall) => void;
  /** Of callers, see {@link CallBounds}; default: as in limits.ts. */
  readonly receivedBytes?: number;
  readonly unreadBytes?: number;
  /** For the handshake of TLS; default: as in limits.ts. */
  readonly handshakeMs?: number;
}): Promise<RpcServer> {
  const { host, port: wanted } = splitAddress(options.listen);
  const { clock = systemClock, log = silentLog, tls = null, onRefused = () => {} } = options;
  const bytes = {
    received: options.receivedBytes ?? limits.rpcReceivedBytes,
    unread: options.unreadBytes ?? limits.rpcUnreadBytes,
  };
  const bounds = new CallBounds(clock, bytes, options.onEnded);
  const secured = (socket: Socket): void => injector.injectConnection(socket);
  const { handshakeMs = limits.rpcHandshakeMs } = options;
  const front =
    tls === null ? null : new TlsListener({ source: tls, secured, handshakeMs, onRefused, clock, log });
  // The first is the nearest to the connection.
  const interceptors = [bounds.interceptor, ...(front === null ? [] : [front.interceptor])];
  const server = new grpc.Server({ ...serverOptions, interceptors });
  for (const { definition, handlers } of options.services) server.addService(definition, handlers);
  const sockets = new Set<Socket>();
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const listener = createListener((socket) => {
    accept(socket, sockets);
    if (front === null) secured(socket);
    else front.accept(socket);
  });
  listener.maxConnections = limits.rpcConnections;
  const port = await listenOn(listener, host, wanted);
  logRefusals(listener, { clock, log });
  return {
    address: joinAddress(host, port),
    port,
    setMembers: (names) => front?.setMembers(names),
    endStreams: () => bounds.endStreams(),
    async close(graceMs) {
      bounds.endStreams();
      const closed = new Promise<void>((resolve) => {
        listener.close(() => resolve());
      });
      // Connections close by themselves once they carry no call.
      server.tryShutdown(() => undefined);
      await within(closed, graceMs);
      bounds.endAll();
      await within(closed, STATUS_GRACE_MS);
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
      await closed;
      front?.close();
      bounds.close();
    },
  };
}

/** Resolves when the promise does, or after so long. */
async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

/** One that says nothing at all is closed before long. What comes after the first byte is the matter of HTTP/2. */
function accept(socket: Socket, sockets: Set<Socket>): void {
  sockets.add(socket);
  const timer = setTimeout(() => {
    if (socket.bytesRead === 0) socket.destroy();
  }, limits.rpcFirstByteMs);
  timer.unref();
  socket.once('close', () => {
    clearTimeout(timer);
    sockets.delete(socket);
  });
}

/** Connections that were not taken: whoever wanted them tries again. */
function logRefusals(listener: Listener, { clock, log }: { readonly clock: Clock; readonly log: Log }): void {
  const lines = new RepeatedLines({ clock, intervalMs: limits.repeatedLineMs, kindsKept: 2 });
  listener.on('error', ({ message: error }) =>
    lines.write('error', (heldBack) => log.warn({ error, heldBack }, 'a connection could not be accepted')),
  );
  listener.on('drop', () =>
    lines.write('drop', (heldBack) =>
      log.warn({ bound: limits.rpcConnections, heldBack }, 'a connection beyond the bound was closed'),
    ),
  );
}

/** @returns the port that was bound @throws JarvisError conflict */
async function listenOn(listener: Listener, host: string, wanted: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error): void => reject(cannotListen(joinAddress(host, wanted), error));
    listener.once('error', refuse);
    listener.listen({ host, port: wanted, exclusive: true }, () => {
      listener.off('error', refuse);
      resolve();
    });
  });
  const address = listener.address();
  return address === null || typeof address === 'string' ? wanted : address.port;
}
