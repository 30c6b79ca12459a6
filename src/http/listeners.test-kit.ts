/** For tests: real servers over HTTP and HTTPS, and sockets to them that say what the test says. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';

import { afterEach } from 'vitest';

import { splitAddress } from '../lib/address.ts';
import { silentLog } from '../lib/log.ts';
import { ExchangeableTls, materialOf, newAuthority } from '../lib/testing/tls.test-kit.ts';
import { testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../operations/test-remotes.test-kit.ts';
import type { ClusterOperations } from '../operations/port.ts';
import type { HttpServer } from './server.ts';
import { createHttpServer } from './server.ts';

export const SCHEMES = ['HTTP', 'HTTPS'] as const;
export type Scheme = (typeof SCHEMES)[number];

const authority = await newAuthority();
const material = await materialOf(authority, { kind: 'node', name: 'n1' }, { hosts: ['127.0.0.1'] });
const servers: HttpServer[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map(async (server) => await server.close(0)));
});

export interface Served {
  /** `host:port` */
  readonly address: string;
  readonly cluster: TestCluster;
}

/** Ended, as are its sockets, with the test. @param replaced operations that the test has its own of */
export async function serve(
  scheme: Scheme,
  options: Partial<Parameters<typeof createHttpServer>[0]> = {},
  replaced: Partial<ClusterOperations> = {},
): Promise<Served> {
  const cluster = new TestCluster(['n1']);
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  const server = createHttpServer({
    operations: new Proxy<ClusterOperations>(operations, {
      get: (target, name: keyof ClusterOperations) => replaced[name] ?? target[name].bind(target),
    }),
    readiness: () => ({ ready: true, reason: '' }),
    log: silentLog,
    tls: scheme === 'HTTP' ? null : new ExchangeableTls(material),
    ...options,
  });
  servers.push(server);
  return { address: await server.listen('127.0.0.1:0'), cluster };
}

/** Connected, and no more said than it takes for that. */
export async function open(scheme: Scheme, address: string): Promise<Socket> {
  const { host, port } = splitAddress(address);
  const socket =
    scheme === 'HTTP' ? connect({ host, port }) : connectTls({ host, port, ca: authority.certificatePem });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, scheme === 'HTTP' ? 'connect' : 'secureConnect');
  return socket;
}

export async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, 'close');
}

/** Everything that is answered to the bytes, up to the end of the connection. */
export async function answerTo(
  scheme: Scheme,
  address: string,
  bytes: string | Uint8Array,
  { isEnded = false } = {},
): Promise<string> {
  const socket = await open(scheme, address);
  socket.write(bytes);
  if (isEnded) socket.end();
  return await text(socket);
}

/** Over a connection of its own, whole. */
export async function ask(scheme: Scheme, address: string, path: string): Promise<string> {
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  return await answerTo(scheme, address, request);
}

/** Of a task in JSON, but for the empty line and the body. */
export function postHead(length: number, headers: Readonly<Record<string, string>> = {}): string {
  const all = { Host: 'localhost', 'Content-Type': 'application/json', 'Content-Length': length, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /tasks HTTP/1.1\r\n${lines.join('')}`;
}
