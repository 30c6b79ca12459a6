import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { RaftService } from '../generated/raft.ts';
import { silentLog } from '../lib/log.ts';
import type { FormedCluster } from '../raft/bootstrap.ts';
import { openDataDirectory } from '../raft/data-directory.ts';
import { ClusterFormation } from '../raft/form-cluster.ts';
import { RaftPeerService } from '../raft/transport/raft-service.ts';
import { createServer as createRpcServer, type Service } from '../rpc/server.ts';
import { parseConfig, type NodeConfig } from './config.ts';
import { checkContainers, checkStart } from './preflight.ts';

function newRoot(): string {
  const root = mkdtempSync(path.join(tmpdir(), 'jarvis-preflight-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  return root;
}

/** Free when this returns. */
async function freePort(): Promise<number> {
  const { port, close } = await takenPort();
  await close();
  return port;
}

async function takenPort(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
    });
  return { port: address.port, close };
}

async function configOf(root: string, fields: { listen?: string; other?: string } = {}): Promise<NodeConfig> {
  const listen = fields.listen ?? `127.0.0.1:${await freePort()}`;
  const http = `127.0.0.1:${await freePort()}`;
  const other = fields.other ?? `127.0.0.1:${await freePort()}`;
  return parseConfig({ name: 'n1', data_dir: root, listen, http, peers: `n1=${listen},n2=${other}` });
}

/** Makes the data directory that of a member. */
async function join(root: string, clusterId: string): Promise<void> {
  const directory = await openDataDirectory(root, { name: 'n1' });
  const founder = { raftId: 1, name: 'n1', incarnation: directory.identity.incarnation, address: 'a:1' };
  await directory.formCluster({ clusterId, epoch: 1, founders: [founder], raftId: 1 });
  await directory.close();
}

/** A peer that answers only who it is. */
async function peer(formed: FormedCluster | null): Promise<string> {
  const self = { name: 'n2', incarnation: 'i2', peers: [], config: '{}' };
  const formation = new ClusterFormation({ self, formed, log: silentLog });
  const { handlers } = new RaftPeerService({ formation, join: () => undefined, log: silentLog });
  const service: Service = { definition: RaftService, handlers: { ...handlers } };
  const server = await createRpcServer({ services: [service], listen: '127.0.0.1:0' });
  onTestFinished(() => server.close(0));
  return server.address;
}

describe('before anything is written', () => {
  it('a blank directory and free ports are accepted, and nothing is made', async () => {
    const root = newRoot();
    await checkStart(await configOf(root));
    expect(readdirSync(root)).toEqual([]);
  });

  it('a port in use is named', async () => {
    const root = newRoot();
    const { port, close } = await takenPort();
    onTestFinished(close);
    const listen = `127.0.0.1:${port}`;
    await expect(checkStart(await configOf(root, { listen }))).rejects.toMatchObject({
      code: 'conflict',
      message: `cannot listen on ${listen}: the port is in use`,
    });
    expect(readdirSync(root)).toEqual([]);
  });

  it('a reserve that leaves nothing is refused, unless the capacity is stated', async () => {
    const config = await configOf(newRoot());
    const everything = { cpuMillis: 1_000_000, memoryBytes: 0 };
    const error = {
      code: 'invalid',
      message: expect.stringMatching(/^reserve.cpu: 1000000m .*allowed:/) as string,
    };
    await expect(checkStart({ ...config, reserve: everything })).rejects.toMatchObject(error);
    await checkStart({
      ...config,
      reserve: everything,
      capacity: { cpuMillis: 500, memoryBytes: null },
    });
    const memory = { cpuMillis: 0, memoryBytes: 2 ** 52 };
    await expect(checkStart({ ...config, reserve: memory })).rejects.toThrow(/^reserve.memory: /);
  });

  it('a directory that is none of ours is refused', async () => {
    const root = newRoot();
    writeFileSync(path.join(root, 'thesis.txt'), '');
    await expect(checkStart(await configOf(root))).rejects.toMatchObject({ kind: 'directory_refused' });
    expect(readdirSync(root)).toEqual(['thesis.txt']);
  });

  it('the peers of another cluster are refused', async () => {
    const root = newRoot();
    await join(root, 'ours');
    const other = await peer({ clusterId: 'theirs', founders: [] });
    await expect(checkStart(await configOf(root, { other }))).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/cluster ours, .*cluster theirs/) as string,
    });
  });

  it('peers of the same cluster, of none yet, and those that are down are no reason to refuse', async () => {
    const root = newRoot();
    await join(root, 'ours');
    const others = [await peer({ clusterId: 'ours', founders: [] }), await peer(null), undefined];
    for (const other of others) {
      await checkStart(await configOf(root, other === undefined ? {} : { other }));
    }
    expect(readdirSync(root)).toContain('identity.json');
  });
});

describe('the engine of a node', () => {
  it.each([
    undefined,
    '',
    'unix:///run/docker.sock',
    'tcp://127.0.0.1:2375',
    'http://localhost:2375/',
    'https://127.0.0.2',
  ])('may be at %j', (dockerHost) => {
    expect(() => checkContainers({ drivers: null }, dockerHost)).not.toThrow();
  });

  it.each([
    'docker',
    'unix://',
    'unix://relative',
    'ssh://user@host',
    'npipe:////./pipe/x',
    'tcp://',
    '/run/x',
    'tcp://10.0.0.5:2375',
    'http://engine.example:2375',
    'tcp://127.example:2375',
  ])('cannot be at %j', (dockerHost) => {
    expect(() => checkContainers({ drivers: null }, dockerHost)).toThrow(
      `DOCKER_HOST: ${JSON.stringify(dockerHost)} is not allowed: unix:///path`,
    );
    expect(() => checkContainers({ drivers: ['process'] }, dockerHost)).not.toThrow();
  });
});
