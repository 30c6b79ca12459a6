/** A node makes another one on its machine, as a leader asks for it: real daemons, by the provider `process`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { RemoteProvider } from '../../src/autoscaler/providers/remote/remote-provider.ts';
import { ChannelPool } from '../../src/rpc/channel.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { processesOf } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const never = new AbortController().signal;
const request = {
  clientToken: 'token-1',
  node: 'auto-1',
  joinToken: null,
  capacity: { cpuMillis: 500, memoryBytes: 256 * 1024 * 1024 },
  labels: { pool: 'auto' },
};

let cluster: TestCluster;
let pool: ChannelPool;

beforeAll(async () => {
  cluster = await TestCluster.create({ nodes: 1, heartbeat: SHORT_HEARTBEAT });
  pool = new ChannelPool();
  await cluster.start();
});

afterAll(async () => {
  pool.close();
  await cluster.dispose();
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

it('a node is made, works, outlives the restart of its maker, and is ended without a trace', async () => {
  const n1 = cluster.node('n1');
  const { dataDir, listen } = n1.settings;
  const identity = readFileSync(path.join(dataDir, 'identity.json'), 'utf8');
  const { clusterId } = (JSON.parse(identity) as { cluster: { clusterId: string } }).cluster;
  const provider = new RemoteProvider({
    name: 'process',
    clusterId,
    host: { name: 'n1', address: listen },
    settings: () => ({ process: null, docker: null }),
    pool,
  });
  const made = await provider.create({ ...request, clusterId, join: [listen] }, never);
  const directory = path.join(dataDir, 'instances', 'token-1');
  await waitFor(`${made.id} as a node`, async () =>
    (await n1.api.nodes()).some(({ name, status }) => name === 'auto-1' && status === 'AVAILABLE'),
  ).catch((error: unknown) => {
    process.stderr.write(readFileSync(path.join(directory, 'node.log'), 'utf8'));
    throw error;
  });
  const node = (await n1.api.nodes()).find(({ name }) => name === 'auto-1');
  expect(node).toMatchObject({ labels: { pool: 'auto' } });
  expect(await cluster.cli(['node', 'cordon', 'n1'], { peer: 'n1' })).toMatchObject({ status: 0 });
  expect(await cluster.cli(['run', '--', 'true'], { peer: 'n1' })).toMatchObject({ status: 0 });

  await n1.end('SIGKILL');
  n1.start();
  const again = await waitFor('the maker again', async () => await provider.list(never));
  expect(again).toMatchObject([{ id: made.id, state: 'running' }]);
  await n1.ready();

  // It leaves in good order; its maker is the one that takes what it keeps.
  for (const words of [
    ['node', 'undrain', 'n1'],
    ['node', 'remove', '--drain', 'auto-1'],
  ])
    expect(await cluster.cli(words, { peer: 'n1' })).toMatchObject({ status: 0 });
  await provider.terminate(made.id, never);
  expect(await provider.list(never)).toEqual([]);
  expect(existsSync(directory)).toBe(false);
  expect(readdirSync(path.join(dataDir, 'instances'))).toEqual([]);
  expect(processesOf(directory)).toEqual([]);
});
