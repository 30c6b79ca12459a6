/** Three nodes with mutual TLS, whose certificates were made with `jarvisctl cert`. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates, setDefaultCACertificates } from 'node:tls';

import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { ClusterService } from '../../src/generated/cluster.ts';
import { LastWordsService } from '../../src/generated/last_words.ts';
import { RaftClient, type Hello } from '../../src/generated/raft.ts';
import { issueCertificate } from '../../src/lib/certificates.ts';
import { CLUSTER_VERSION } from '../../src/lib/cluster-version.ts';
import { readTlsFilesSync, type TlsFiles, type TlsMaterial } from '../../src/lib/tls-files.ts';
import { TlsChannels } from '../../src/rpc/channel-security.ts';
import { ChannelPool } from '../../src/rpc/channel.ts';
import { unaryCall } from '../../src/rpc/client.ts';
import { Certificates, clientEnvironment, nodeEnvironment, replaceFiles } from '../support/certificates.ts';
import { TestCluster } from '../support/cluster.ts';
import { adminTokenOf } from '../support/credentials.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { runProgram } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';

const NAMES = ['n1', 'n2', 'n3'];
const DAY_MS = 86_400_000;
const LEAST_REQUESTS = 20;

let home: string;
let certificates: Certificates;
let foreign: Certificates;
/** Where each node has its files, apart from where they were issued. */
const deployed = new Map<string, TlsFiles>();
let client: TlsFiles;
let cluster: TestCluster;
let token: string;

function deploy(name: string, from: TlsFiles): TlsFiles {
  const directory = path.join(home, 'deployed', name);
  mkdirSync(directory, { recursive: true });
  const to = (file: string): string => path.join(directory, path.basename(file));
  const files = {
    certificate: to(from.certificate),
    key: to(from.key),
    authorities: to(from.authorities),
  };
  copyFileSync(from.certificate, files.certificate);
  copyFileSync(from.key, files.key);
  copyFileSync(from.authorities, files.authorities);
  return files;
}

beforeAll(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-tls-'));
  certificates = await Certificates.create(path.join(home, 'certs'));
  foreign = await Certificates.create(path.join(home, 'foreign'));
  for (const name of NAMES) deployed.set(name, deploy(name, await certificates.node(name)));
  client = deploy('ci', await certificates.client('ci'));
  trust(certificates.authorityPem);
  cluster = await TestCluster.create({
    scheme: 'https',
    envOf: () => Promise.resolve((name) => nodeEnvironment(filesOf(name))),
  });
  try {
    await cluster.start();
    ({ token } = await adminTokenOf(cluster));
    for (const { api } of cluster.nodes) api.token = token;
  } catch (error) {
    process.stderr.write(cluster.logTails());
    throw error;
  }
});

afterAll(async () => {
  await cluster.dispose();
  setDefaultCACertificates(rootCertificates);
  rmSync(home, { recursive: true });
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

/** What this process takes for the authority of an HTTPS server. */
function trust(...pems: readonly string[]): void {
  setDefaultCACertificates([...pems]);
}

function filesOf(name: string): TlsFiles {
  const files = deployed.get(name);
  if (files === undefined) throw new Error(`there is no node ${name}`);
  return files;
}

async function follower(): Promise<NodeProcess> {
  const [node] = await cluster.followers();
  if (node === undefined) throw new Error('there is no follower');
  return node;
}

function materialOf(files: TlsFiles): TlsMaterial {
  return readTlsFilesSync(files, Date.now());
}

async function withPool<T>(material: TlsMaterial, use: (pool: ChannelPool) => Promise<T>): Promise<T> {
  const pool = new ChannelPool(new TlsChannels({ current: material, onChange: () => () => {} }));
  try {
    return await use(pool);
  } finally {
    pool.close();
  }
}

const signal = new AbortController().signal;
const once = { signal, timeoutMs: 5000, write: false } as const;

function version(material: TlsMaterial, address: string): Promise<unknown> {
  return withPool(material, (pool) =>
    unaryCall({ ...once, pool, address, method: ClusterService.getVersion, request: {} }),
  );
}

function say(material: TlsMaterial, address: string, name: string): Promise<unknown> {
  const request = { cluster_id: '', raft_id: 1, disk_errors: [], name };
  return withPool(material, (pool) =>
    unaryCall({ ...once, pool, address, method: LastWordsService.say, request }),
  );
}

/** Of the wanted kind in the log of a node. */
function logged(node: NodeProcess, message: string, fields: object = {}): Promise<unknown> {
  return waitFor(`"${message}" in the log of ${node.name}`, () => {
    const lines = node
      .log()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const found = lines.some(
      (line) =>
        line['msg'] === message && Object.entries(fields).every(([key, value]) => line[key] === value),
    );
    return Promise.resolve(found);
  });
}

describe('a cluster with TLS', () => {
  it('runs a task that jarvisctl gives to a follower', async () => {
    const { name } = await follower();
    const result = await cluster.cli(['run', '--', 'echo', 'hello'], {
      peer: name,
      env: { ...clientEnvironment(client), JARVIS_TOKEN: token },
    });
    expect(result).toMatchObject({ status: 0, stdout: 'hello\n' });
  });

  it('serves HTTPS on every node, and no plain text', async () => {
    for (const { api, settings } of cluster.nodes) {
      await expect(api.call('GET', '/readyz', null)).resolves.toMatchObject({ status: 200 });
      await expect(fetch(`http://${settings.http}/readyz`)).rejects.toThrow('fetch failed');
    }
  });

  it('does not speak gRPC in plain text', async () => {
    const node = await follower();
    const result = await cluster.cli(['cluster', 'members'], { peer: node.name });
    expect(result).toMatchObject({ status: 3, stdout: '' });
    await logged(node, 'a TLS handshake failed');
  });

  it('does not start a node with the certificate of another', async () => {
    const flags = ['--name', 'n1', '--data-dir', path.join(home, 'other'), '--listen', '127.0.0.1:0'];
    const more = ['--http', '127.0.0.1:0', '--peers', 'n1=127.0.0.1:1,n2=127.0.0.1:2', '--check'];
    const env = nodeEnvironment(filesOf('n2'));
    const result = await runProgram('jarvisd', [...flags, ...more, '--advertise', '127.0.0.1:1'], { env });
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(result.stderr).toMatch(/is the certificate of node "n2", and this is node "n1"/);
    expect(existsSync(path.join(home, 'other'))).toBe(false);
  });
});

describe('who is refused, and in whose log that is', () => {
  it('a client of another cluster, which is told so; and it refuses these nodes itself', async () => {
    const node = await follower();
    const theirs = await foreign.client('ci');
    const wrong = await cluster.cli(['version'], { peer: node.name, env: clientEnvironment(theirs) });
    expect(wrong.stderr).toContain('is from an authority that is not trusted here');
    const stranger = { ...materialOf(theirs), authoritiesPem: certificates.authorityPem };
    await expect(version(stranger, node.settings.listen)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('from an authority that is not trusted here') as string,
    });
    await logged(node, 'a certificate is refused', { code: 'untrusted' });
  });

  it('one with a certificate that has expired', async () => {
    const node = await follower();
    const authority = {
      certificatePem: certificates.authorityPem,
      keyPem: readFileSync(path.join(certificates.directory, 'ca.key'), 'utf8'),
    };
    const nowMs = Date.now();
    const validity = { validFromMs: nowMs - 2 * DAY_MS, validToMs: nowMs - DAY_MS };
    const old = await issueCertificate(authority, { kind: 'node', name: 'n2', hosts: [], ...validity });
    await expect(version({ ...materialOf(client), ...old }, node.settings.listen)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('has expired') as string,
    });
    await logged(node, 'a certificate is refused', { code: 'expired' });
  });

  it('a client that speaks as a node does', async () => {
    const node = await follower();
    await expect(version(materialOf(client), node.settings.listen)).resolves.toBeDefined();
    await expect(say(materialOf(client), node.settings.listen, 'ci')).rejects.toMatchObject({
      code: 'forbidden',
    });
    await logged(node, 'a certificate is refused', { code: 'wrong_kind' });
  });

  it('a node that speaks for another: that one stays what it is', async () => {
    const leader = await cluster.leader();
    const members = (await leader.api.cluster()).members;
    const [victim, villain] = members.filter(({ name }) => name !== leader.name);
    if (victim === undefined || villain === undefined) throw new Error('there are two followers');
    const material = materialOf(filesOf(villain.name));
    await expect(say(material, leader.settings.listen, victim.name)).rejects.toMatchObject({
      code: 'forbidden',
      message: `the certificate of node "${villain.name}" does not speak for "${victim.name}"`,
    });
    const hello: Hello = {
      protocol: 1,
      cluster_id: (await leader.api.cluster()).cluster_id,
      raft_id: victim.raft_id,
      incarnation: 'another',
      start_counter: 1_000_000,
      start_id: 'never',
      to: members.find(({ name }) => name === leader.name)?.raft_id ?? 0,
      name: victim.name,
      address: victim.address,
      keeps_leases: false,
      known_version: CLUSTER_VERSION,
    };
    await expect(greet(leader.settings.listen, material, hello)).resolves.toBe(grpc.status.PERMISSION_DENIED);
    await logged(leader, 'a certificate is refused', { code: 'wrong_name' });
    // Under its own name it is taken for somebody else's member.
    await expect(greet(leader.settings.listen, material, { ...hello, name: villain.name })).resolves.toBe(
      'wrong_name',
    );
    const after = (await leader.api.cluster()).members.find(({ name }) => name === victim.name);
    expect(after).toMatchObject({ active: true, raft_id: victim.raft_id });
    expect(cluster.node(victim.name).isRunning).toBe(true);
  });
});

/** @returns what becomes of a hello: the code of its refusal, or the status of the stream */
async function greet(address: string, material: TlsMaterial, hello: Hello): Promise<grpc.status | string> {
  const security = new TlsChannels({ current: material, onChange: () => () => {} });
  const raft = new RaftClient(address, security.credentials());
  const stream = raft.messages();
  try {
    return await new Promise((resolve) => {
      stream.on('data', (reply) => resolve(reply.hello?.code ?? ''));
      stream.on('error', (error) => resolve((error as grpc.ServiceError).code));
      stream.write({ kind: { $case: 'hello', value: hello } });
    });
  } finally {
    stream.cancel();
    raft.close();
  }
}

describe('an exchange of certificates', () => {
  it('of the nodes, then of their authority, needs no restart and fails no request', async () => {
    const pids = cluster.nodes.map(({ pid }) => pid);
    const requests = new Requests(await follower());
    const first = certificates.authorityPem;
    const renew = async (from: Certificates, authorities: string): Promise<void> => {
      const looks = cluster.nodes.map((node) => countOf(node, 'new TLS files are in use'));
      for (const name of NAMES) replaceFiles(filesOf(name), await from.node(name), authorities);
      for (const [at, node] of cluster.nodes.entries())
        await waitFor(`${node.name} uses the new files`, () =>
          Promise.resolve(countOf(node, 'new TLS files are in use') > (looks[at] ?? 0)),
        );
    };
    await renew(certificates, first);
    const second = await Certificates.create(path.join(home, 'second'));
    trust(first, second.authorityPem);
    // The new authority is trusted everywhere before anybody shows a certificate of it.
    await renew(certificates, first + second.authorityPem);
    await renew(second, first + second.authorityPem);
    await renew(second, second.authorityPem);
    expect(await requests.stop()).toEqual([]);
    expect(cluster.nodes.map(({ pid }) => pid)).toEqual(pids);
    await expect(version(materialOf(client), (await follower()).settings.listen)).rejects.toThrow(
      /is from an authority that is not trusted here/,
    );
    const env = { ...clientEnvironment(await second.client('ci')), JARVIS_TOKEN: token };
    const result = await cluster.cli(['run', '--', 'echo', 'again'], { env });
    expect(result).toMatchObject({ status: 0, stdout: 'again\n' });
  });
});

function countOf(node: NodeProcess, message: string): number {
  return node.log().split(JSON.stringify(message)).length - 1;
}

/** One after the other through one node, most of which it has to send on to the leader. */
class Requests {
  readonly #node: NodeProcess;
  readonly #failures: string[] = [];
  readonly #done: Promise<void>;
  #made = 0;
  #isOver = false;

  constructor(node: NodeProcess) {
    this.#node = node;
    this.#done = this.#run();
  }

  /** @returns what has failed */
  async stop(): Promise<readonly string[]> {
    this.#isOver = true;
    await this.#done;
    return this.#made < LEAST_REQUESTS ? [`only ${this.#made} requests were made`] : this.#failures;
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.#made += 1;
      try {
        if (this.#made % 10 === 0) await this.#node.api.submit({ command: ['true'] });
        else await this.#node.api.nodes();
      } catch (error) {
        this.#failures.push(String(error));
      }
    }
  }
}
