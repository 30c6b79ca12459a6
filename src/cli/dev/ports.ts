/** Finds the ports of a local cluster: from 7101 and 8101 upwards, leaving out what is taken. */
import { createServer } from 'node:net';

import { JarvisError } from '../../lib/errors.ts';

const HOST = '127.0.0.1';
export const FIRST_LISTEN_PORT = 7101;
export const FIRST_HTTP_PORT = 8101;
/** How far upwards free ports are looked for. */
const PORTS_TRIED = 800;

export function address(port: number): string {
  return `${HOST}:${port}`;
}

/** @throws JarvisError too_many where there are not enough within reach */
export async function freePorts(count: number, first: number): Promise<number[]> {
  const ports: number[] = [];
  for (let port = first; ports.length < count; port += 1) {
    if (port >= first + PORTS_TRIED)
      throw new JarvisError('too_many', `fewer than ${count} free ports from ${first} to ${port - 1}`);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Whether nobody listens there now; somebody may a moment later. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ host: HOST, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export function portOf(hostAndPort: string): number {
  return Number(hostAndPort.slice(hostAndPort.lastIndexOf(':') + 1));
}
