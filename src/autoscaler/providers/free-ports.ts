/** Ports for nodes on this machine: below those that the kernel gives to connections, so that none is taken by one. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

import { ProviderError } from './provider.ts';

const FIRST = 20_000;
const END = 32_000;
const TRIES = 200;

/**
 * @param host that is to be listened on
 * @param taken ports that are given away, whether or not anybody listens yet
 * @throws ProviderError capacity where none is found
 */
export async function freePorts(
  count: number,
  host: string,
  taken: ReadonlySet<number>,
): Promise<readonly number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries += 1) {
    if (tries === TRIES)
      throw new ProviderError('capacity', `no free port found from ${FIRST} to ${END - 1}`);
    const port = randomInt(FIRST, END);
    if (!taken.has(port) && (await isFree(host, port))) found.add(port);
  }
  return [...found];
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else
        reject(
          new ProviderError('invalid', `${host} cannot be listened on: ${error.message}`, { cause: error }),
        );
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
