/**
 * What is checked before anything is written: ports that can be listened on, whose data directory it is, and whether the
 * cluster that it belongs to is the one of the peers.
 */
import { createServer } from 'node:net';

import { RaftService } from '../generated/raft.ts';
import { cannotListen, splitAddress } from '../lib/address.ts';
import { JarvisError } from '../lib/errors.ts';
import { checkDataDirectory, type NodeIdentity } from '../raft/data-directory.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { insecureChannels, type ChannelSecurity } from '../rpc/channel-security.ts';
import { unaryCall } from '../rpc/client.ts';
import { Cgroups } from './cgroups/cgroups.ts';
import { boundsHere } from './node-confinement.ts';
import type { NodeConfig } from './config.ts';
import { measuredCapacity } from './worker/capacity.ts';

/** A peer that is down refuses at once; one that hangs may delay a start by so much. */
const PEER_TIMEOUT_MS = 1000;

/** @throws JarvisError conflict for a port in use or another cluster, invalid for a directory of another node */
export async function checkStart(
  config: NodeConfig,
  security: ChannelSecurity = insecureChannels,
): Promise<void> {
  checkReserve(config);
  checkContainers(config, process.env['DOCKER_HOST']);
  const identity = await checkDataDirectory(config.dataDir, { name: config.name });
  for (const address of [config.listen, config.http]) await checkListen(address);
  if (identity !== null) await checkCluster(config, identity, security);
}

/** A node that keeps everything back would wait for tasks for ever. @throws JarvisError invalid */
function checkReserve({ capacity, reserve }: NodeConfig): void {
  const { cpuMillis, memoryBytes } = measuredCapacity(boundsHere());
  if (capacity.cpuMillis === null && reserve.cpuMillis >= cpuMillis) {
    const what = `${reserve.cpuMillis}m leaves nothing of what was measured; allowed: less than ${cpuMillis}m`;
    throw new JarvisError('invalid', `reserve.cpu: ${what}`);
  }
  if (capacity.memoryBytes === null && reserve.memoryBytes >= memoryBytes) {
    const what = `${reserve.memoryBytes} bytes leave nothing of what was measured; allowed: less than ${memoryBytes}`;
    throw new JarvisError('invalid', `reserve.memory: ${what}`);
  }
}

/** @throws JarvisError invalid where containers are asked for, or not ruled out, and can never be had */
export function checkContainers(
  { drivers }: Pick<NodeConfig, 'drivers'>,
  dockerHost: string | undefined,
): void {
  const cgroups = drivers?.includes('docker') === true ? Cgroups.find() : undefined;
  if (cgroups === null) {
    const what = 'needs control groups that this process may write: run it as root, or leave docker out';
    throw new JarvisError('invalid', `drivers: "docker" ${what}`);
  }
  if (cgroups?.seesAll === false) {
    const what =
      'needs to see the processes of the machine: run it outside a pid namespace, or leave docker out';
    throw new JarvisError('invalid', `drivers: "docker" ${what}`);
  }
  const mayUseEngine = drivers === null || drivers.includes('docker');
  if (!mayUseEngine || dockerHost === undefined || dockerHost === '') return;
  // On another machine nothing of a container's is seen or ended by its control group: it would always be taken for gone.
  const local = /^(?:tcp|https?):\/\/(?:localhost|127(?:\.\d{1,3}){3})(?::\d+)?\/?$/;
  if (/^unix:\/\/\/./.test(dockerHost) || local.test(dockerHost)) return;
  const allowed = 'unix:///path/of/the/socket, or tcp://127.0.0.1:port of an engine on this machine';
  throw new JarvisError('invalid', `DOCKER_HOST: ${JSON.stringify(dockerHost)} is not allowed: ${allowed}`);
}

/**
 * A member finds its own cluster among the peers, or nobody yet; where it finds only others, it has been given the
 * directory or the peers of another cluster, and would be refused by everyone for ever.
 * @throws JarvisError conflict
 */
async function checkCluster(
  { name, peers, dataDir }: NodeConfig,
  identity: NodeIdentity,
  security: ChannelSecurity,
): Promise<void> {
  const { cluster, incarnation } = identity;
  if (cluster === null) return;
  const pool = new ChannelPool(security);
  try {
    const replies = await Promise.allSettled(
      peers
        .filter((peer) => peer.name !== name)
        .map(async ({ address }) => {
          const request = { name, incarnation, peers: [], founders: [], config: '' };
          const signal = AbortSignal.timeout(PEER_TIMEOUT_MS);
          const options = { pool, address, method: RaftService.bootstrap, request, signal };
          const reply = await unaryCall({ ...options, timeoutMs: PEER_TIMEOUT_MS, write: false });
          return { address, clusterId: reply.cluster_id };
        }),
    );
    // Whoever does not answer, or belongs to no cluster yet, says nothing against it.
    const members = replies
      .flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value] : []))
      .filter(({ clusterId }) => clusterId !== '');
    const [other] = members;
    if (other === undefined || members.some(({ clusterId }) => clusterId === cluster.clusterId)) return;
    throw new JarvisError(
      'conflict',
      `the data directory belongs to cluster ${cluster.clusterId}, and the peer at ${other.address} to cluster ` +
        `${other.clusterId}: name the peers of the one, or the directory of the other (${dataDir})`,
    );
  } finally {
    pool.close();
  }
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
