/** What is checked before anything is written: ports that can be listened on, and whose data directory it is. */
import { createServer } from 'node:net';

import { cannotListen, splitAddress } from '../lib/address.ts';
import { checkDataDirectory } from '../raft/data-directory.ts';
import type { NodeConfig } from './config.ts';

/** @throws JarvisError conflict for a port in use, invalid for a directory of another node */
export async function checkStart(config: NodeConfig): Promise<void> {
  await checkDataDirectory(config.dataDir, { name: config.name });
  for (const address of [config.listen, config.http]) await checkListen(address);
}

/** Opens the port for a moment. @throws JarvisError conflict */
async function checkListen(address: string): Promise<void> {
  const { host, port } = splitAddress(address);
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(address, error)));
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } finally {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }
}
