/** A node comes into a cluster with TLS with nothing but an address and a join token. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates, setDefaultCACertificates } from 'node:tls';

import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { LastWordsClient } from '../../src/generated/last_words.ts';
import { CanarySearch } from '../support/canaries.ts';
import { Certificates, clientEnvironment, nodeEnvironment } from '../support/certificates.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import type { NodeProcess } from '../support/node-process.ts';
import type { RunResult } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';

const FOUNDERS = ['n1', 'n2', 'n3'];

let home: string;
let certificates: Certificates;
let cluster: TestCluster;
let clientEnv: Record<string, string>;

beforeAll(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-join-token-'));
  certificates = await Certificates.create(path.join(home, 'certs'));
  for (const name of FOUNDERS) await certificates.node(name);
  clientEnv = { ...clientEnvironment(await certificates.client('admin')) };
  setDefaultCACertificates([certificates.authorityPem]);
  cluster = await TestCluster.create({
    scheme: 'https',
    heartbeat: SHORT_HEARTBEAT,
    joining: 3,
    envOf: () => Promise.resolve(environmentOf),
  });
  await cluster.startOrTell();
  clientEnv['JARVIS_TOKEN'] = await adminToken(cluster, clientEnv);
});

afterAll(async () => {
  await cluster.dispose();
  setDefaultCACertificates(rootCertificates);
  rmSync(home, { recursive: true });
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

/** Once it counts: the file comes before the row. */
async function adminToken(of: TestCluster, env: Readonly<Record<string, string>>): Promise<string> {
  return await waitFor("the first admin's token", async () => {
    const file = of.nodes
      .map(({ settings }) => path.join(settings.dataDir, 'admin-token'))
      .find((each) => existsSync(each));
    if (file === undefined) return false;
    const token = readFileSync(file, 'utf8').trim();
    const { status } = await of.cli(['cluster', 'join-token', 'ls'], {
      env: { ...env, JARVIS_TOKEN: token },
      peer: 'n1',
    });
    return status === 0 && token;
  });
}

/** Those that join have no certificate; of the founders one alone can sign. */
function environmentOf(name: string): Readonly<Record<string, string>> {
  if (!FOUNDERS.includes(name)) return {};
  const tls = nodeEnvironment(certificates.files(name));
  return name === 'n2' ? { ...tls, JARVISD_TLS_CA_KEY: path.join(certificates.directory, 'ca.key') } : tls;
}

function tokenFileOf(name: string): string {
  return path.join(home, `${name}.join-token`);
}

function ctl(...words: readonly string[]): Promise<RunResult> {
  return cluster.cli(words, { env: clientEnv, peer: 'n1' });
}

async function tokenFor(...flags: readonly string[]): Promise<string> {
  const { stdout, stderr, status } = await ctl('cluster', 'join-token', '--quiet', ...flags);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout.trim();
}

/** With an address and the token in a file, and nothing else. */
function startWith(name: string, token: string): NodeProcess {
  writeFileSync(tokenFileOf(name), `${token}\n`, { mode: 0o600 });
  const node = cluster.node(name);
  node.start([], { JARVISD_JOIN_TOKEN_FILE: tokenFileOf(name) });
  return node;
}

/** How a last word ends that a node says with its certificate: the status, and what is answered. */
async function lastWord(
  address: string,
  credentials: grpc.ChannelCredentials,
  name: string,
): Promise<string> {
  // Its certificate is that of its name; addresses are only beside it.
  const options = { 'grpc.ssl_target_name_override': '127.0.0.1', 'grpc.use_local_subchannel_pool': 1 };
  const caller = new LastWordsClient(address, credentials, options);
  const word = { cluster_id: '', raft_id: 1, disk_errors: [], name };
  try {
    return await new Promise((resolve) => {
      caller.say(word, (error) =>
        resolve(error === null ? 'OK' : `${grpc.status[error.code]}: ${error.details}`),
      );
    });
  } finally {
    caller.close();
  }
}

/** How the node ends that is not let in, and what it says. */
async function refused(name: string, token: string): Promise<string> {
  const before = cluster.node(name).log().length;
  const node = startWith(name, token);
  const { code } = await node.ended;
  expect(code).toBe(1);
  return node.log().slice(before);
}

describe('a node with an address and a join token', () => {
  let token: string;

  it('comes in, takes work, and starts again without either', async () => {
    token = await tokenFor('--name', 'n4');
    const node = startWith('n4', token);
    await node.ready();
    // The only one that takes any.
    for (const name of FOUNDERS) expect(await ctl('node', 'cordon', name)).toMatchObject({ status: 0 });
    expect(await ctl('run', '--', 'true')).toMatchObject({ status: 0 });
    for (const name of FOUNDERS) expect(cluster.node(name).log()).not.toContain('a certificate is refused');
    for (const name of FOUNDERS) expect(await ctl('node', 'undrain', name)).toMatchObject({ status: 0 });
    rmSync(tokenFileOf('n4'));
    await cluster.kill('n4');
    await cluster.restart('n4');
    const key = path.join(node.settings.dataDir, 'tls', 'node.pem');
    expect(statSync(key).mode & 0o777).toBe(0o600);
  });

  it('is the only one that the token lets in', async () => {
    expect(await refused('n5', token)).toMatch(/is for a node with the name n4, and not n5/);
    const other = await tokenFor();
    const wrongAuthority = other.replace(/_[0-9a-f]{64}$/, `_${'0'.repeat(64)}`);
    expect(await refused('n5', wrongAuthority)).toMatch(/of another cluster than the join token/);
    const { stdout } = await ctl('cluster', 'join-token', 'ls', '-o', 'json');
    const { items } = JSON.parse(stdout) as { items: { uses_left: number; used_by: { node: string }[] }[] };
    expect(items.map(({ uses_left: left }) => left)).toEqual([1, 0]);
    expect(items[1]?.used_by).toMatchObject([{ node: 'n4' }]);
  });

  it('is refused with one that is used up, or was deleted', async () => {
    const once = await tokenFor();
    await startWith('n5', once).ready();
    expect(await refused('n6', once)).toMatch(/is used up: n5 came in by it/);
    const gone = await tokenFor();
    const [, id = ''] = gone.split('_');
    expect(await ctl('cluster', 'join-token', 'rm', id)).toMatchObject({ status: 0, stdout: `${id}\n` });
    expect(await refused('n6', gone)).toMatch(/not one of this cluster, or not any more/);
  });

  it('is refused without one: it speaks no TLS', async () => {
    const node = cluster.node('n6');
    node.start();
    await waitFor('n6 is not let in', () => node.log().includes('not a member yet'));
    await cluster.kill('n6');
    const { members } = JSON.parse((await ctl('cluster', 'members', '-o', 'json')).stdout) as {
      members: { name: string }[];
    };
    expect(members.map(({ name }) => name).sort()).toEqual([...FOUNDERS, 'n4', 'n5']);
  });

  it('stops at a signal while it still asks for a certificate', async () => {
    const node = cluster.node('n6');
    const before = node.log().length;
    writeFileSync(tokenFileOf('n6'), token, { mode: 0o600 });
    // Nobody is there.
    node.startWithout(['--join'], ['--join', '127.0.0.1:1', '--join-token-file', tokenFileOf('n6')]);
    await waitFor('n6 asks', () => node.log().slice(before).includes('no certificate yet'));
    expect(await node.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(node.log().slice(before)).toContain('"signal":"SIGTERM","msg":"stopping"');
  });

  it('is no node any more once it was removed, and comes back by no certificate', async () => {
    const { dataDir } = cluster.node('n5').settings;
    const [key, chain] = ['node.pem', 'node.pem'].map((name) =>
      readFileSync(path.join(dataDir, 'tls', name)),
    );
    const credentials = grpc.credentials.createSsl(
      Buffer.from(certificates.authorityPem),
      key ?? null,
      chain ?? null,
    );
    const say = (): Promise<string> => lastWord(cluster.node('n1').settings.listen, credentials, 'n5');
    expect(await say()).not.toContain('no member of the cluster');
    expect(await ctl('cluster', 'remove', 'n5')).toMatchObject({ status: 0 });
    await cluster.node('n5').ended;
    await waitFor('n1 knows it', async () =>
      (await say()).includes('PERMISSION_DENIED: node "n5" is no member of the cluster'),
    );
    // With all that it was given, in a new data directory.
    const files = { key: path.join(home, 'n5.pem'), authorities: path.join(home, 'n5-ca.pem') };
    writeFileSync(files.key, readFileSync(path.join(dataDir, 'tls', 'node.pem')), { mode: 0o600 });
    writeFileSync(files.authorities, certificates.authorityPem);
    const flags = ['--data-dir', path.join(home, 'n5'), '--tls-ca', files.authorities];
    flags.push('--tls-cert', files.key, '--tls-key', files.key);
    const node = cluster.node('n5');
    const before = node.log().length;
    node.startWithout(['--data-dir'], flags);
    expect((await node.ended).code).toBe(1);
    expect(node.log().slice(before)).toContain('n5 was removed from the cluster, and its certificate alone');
    // An admin lets it in again.
    await waitFor('n5 is taken off the list', async () => (await ctl('node', 'remove', 'n5')).status === 0);
    writeFileSync(tokenFileOf('n5'), await tokenFor('--name', 'n5'), { mode: 0o600 });
    node.startWithout(['--data-dir'], [...flags, '--join-token-file', tokenFileOf('n5')]);
    await node.ready();
  });

  it('leaves the secret in no file and no log of any node', () => {
    const [, , secret = ''] = token.split('_');
    expect(secret).toHaveLength(64);
    const search = new CanarySearch([{ what: 'the join token', secret }]);
    expect(search.lookBelow(cluster.directory, new Set())).toBeGreaterThan(20);
    search.lookAtCommandLines(cluster.processes());
    expect(search.found).toEqual([]);
  });
});

describe('a node that joins a cluster with authentication and without TLS', () => {
  it('shows a join token, and comes back without', async () => {
    const plain = await TestCluster.create({ nodes: 1, joining: 1, env: { JARVISD_AUTH: 'true' } });
    onTestFinished(() => plain.dispose());
    await plain.start();
    const env = { JARVIS_TOKEN: await adminToken(plain, {}) };
    const n2 = plain.node('n2');
    n2.start();
    expect((await n2.ended).code).toBe(1);
    expect(n2.log()).toContain('`jarvisctl cluster join-token --name n2` makes one');
    const made = await plain.cli(['cluster', 'join-token', '--quiet'], { env, peer: 'n1' });
    n2.start(['--join-token', made.stdout.trim()]);
    await n2.ready();
    await plain.kill('n2');
    await plain.restart('n2');
  });
});
