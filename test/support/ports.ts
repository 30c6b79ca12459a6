/** Free loopback ports below the range from which the kernel takes those of outgoing connections. */
import { createServer } from 'node:net';

export const HOST = '127.0.0.1';
const FIRST = 20_000;
const COUNT = 12_000;

/** Another test run at the same time begins elsewhere. */
let next = (process.pid * 97) % COUNT;

/** Given out once per process, so that a node finds its port free when it is started again. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < COUNT; tried += 1) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${FIRST} to ${FIRST + COUNT - 1}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ host: HOST, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
