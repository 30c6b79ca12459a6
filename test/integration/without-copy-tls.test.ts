/** A node without a copy in a cluster with TLS and tokens: it comes in by a join token, and lets in nobody whom a member would not. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates, setDefaultCACertificates } from 'node:tls';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { Certificates, clientEnvironment, nodeEnvironment } from '../support/certificates.ts';
import { startCli } from '../support/cli-process.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { adminTokenOf, ask, idOf, loopbackAddress } from '../support/credentials.ts';
import type { NodeProcess } from '../support/node-process.ts';
import type { RunResult } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';

const FOUNDERS = ['n1', 'n2', 'n3'];

let home: string;
let certificates: Certificates;
let cluster: TestCluster;
let late: NodeProcess;
let clientEnv: Readonly<Record<string, string>>;

beforeAll(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-without-copy-'));
  certificates = await Certificates.create(path.join(home, 'certs'));
  for (const name of FOUNDERS) await certificates.node(name);
  setDefaultCACertificates([certificates.authorityPem]);
  cluster = await TestCluster.create({
    scheme: 'https',
    heartbeat: SHORT_HEARTBEAT,
    joining: 2,
    membership: { learners: 0 },
    envOf: () => Promise.resolve(environmentOf),
  });
  await cluster.startOrTell();
  const { token } = await adminTokenOf(cluster);
  for (const { api } of cluster.nodes) api.token = token;
  clientEnv = { ...clientEnvironment(await certificates.client('ada')), JARVIS_TOKEN: token };
  late = await join('n4');
});

afterAll(async () => {
  await cluster.dispose();
  setDefaultCACertificates(rootCertificates);
  rmSync(home, { recursive: true });
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

/** Of the founders one alone can sign. */
function environmentOf(name: string): Readonly<Record<string, string>> {
  const labels = { JARVISD_LABELS: `zone=${name}` };
  if (!FOUNDERS.includes(name)) return labels;
  const tls = { ...labels, ...nodeEnvironment(certificates.files(name)) };
  return name === 'n2' ? { ...tls, JARVISD_TLS_CA_KEY: path.join(certificates.directory, 'ca.key') } : tls;
}

async function join(name: string, flags: readonly string[] = []): Promise<NodeProcess> {
  const { stdout } = await ctl('n1', 'cluster', 'join-token', '--quiet', '--name', name);
  const file = path.join(home, `${name}.join-token`);
  writeFileSync(file, stdout, { mode: 0o600 });
  const node = cluster.node(name);
  node.start(flags, { JARVISD_JOIN_TOKEN_FILE: file });
  await node.ready();
  return node;
}

async function ctl(peer: string, ...words: readonly string[]): Promise<RunResult> {
  return await cluster.cli(words, { env: clientEnv, peer });
}

async function tokenOf(role: string, name = role): Promise<string> {
  const body = JSON.stringify({ role, name });
  const { status, text } = await ask(late, { method: 'POST', path: '/tokens', token: late.api.token, body });
  if (status !== 201) throw new Error(`no token: ${text}`);
  return (JSON.parse(text) as { token: string }).token;
}

function only(node: string): object {
  return { affinity: { required: [{ key: 'zone', operator: 'in', values: [node] }] } };
}

it('takes work, and is asked for it and for others by whoever shows a token', async () => {
  const members = await ctl('n4', 'cluster', 'members');
  expect(members).toMatchObject({ status: 0, stderr: '' });
  expect(members.stdout).toMatch(/n4 .*worker/);
  for (const [on, peer] of [
    ['n4', 'n4'],
    ['n1', 'n4'],
    ['n4', 'n1'],
  ] as const) {
    const { id } = await cluster.node(peer).api.submit({ command: ['echo', `on ${on}`], ...only(on) });
    expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', node: on });
    expect(await ctl(peer, 'logs', id)).toMatchObject({ status: 0, stdout: `on ${on}\n` });
  }
});

it('lets in nobody without a token, or with one that is wrong, too weak or revoked', async () => {
  const submit = { method: 'POST', path: '/tasks', body: JSON.stringify({ command: ['true'] }) };
  const [viewer, submitter] = [await tokenOf('viewer'), await tokenOf('submitter')];
  const last = viewer.at(-1) === 'A' ? 'B' : 'A';
  expect((await ask(late, { ...submit, token: null })).status).toBe(401);
  expect((await ask(late, { ...submit, token: viewer.slice(0, -1) + last })).status).toBe(401);
  expect((await ask(late, { ...submit, token: viewer })).status).toBe(403);
  expect((await ask(late, { ...submit, token: submitter })).status).toBe(201);
  expect((await ask(late, { path: '/nodes', token: viewer })).status).toBe(200);
  await ctl('n1', 'token', 'revoke', idOf(submitter));
  expect((await ask(late, { ...submit, token: submitter })).status).toBe(401);
  const audit = readFileSync(path.join(late.settings.dataDir, 'audit.log'), 'utf8');
  expect(audit).toContain(`"principal":"token:${idOf(submitter)}"`);
  expect(audit).toContain('"result":"forbidden"');
});

it('holds up one who guesses, and nobody else', async () => {
  const token = await tokenOf('viewer', 'guessed');
  const wrong = token.slice(0, -4) + (token.endsWith('AAAA') ? 'BBBB' : 'AAAA');
  const from = loopbackAddress(7, 1);
  await waitFor('the end of its tries', async () => {
    const { status } = await ask(late, { path: '/nodes', token: wrong, from });
    return status === 429;
  });
  expect((await ask(late, { path: '/nodes', token, from: loopbackAddress(8, 1) })).status).toBe(200);
});

it('ends what it shows of its own with the token that was shown for it', async () => {
  const file = path.join(cluster.directory, 'go-on');
  const script = `echo begun; while [ ! -e ${file} ]; do sleep 0.1; done`;
  const { id } = await late.api.submit({ command: ['sh', '-c', script], ...only('n4') });
  const token = await tokenOf('viewer', 'reader');
  const env = { ...clientEnv, JARVIS_TOKEN: token };
  const reader = startCli(['logs', '-f', id, '--peer', late.settings.listen], { env });
  await reader.until('its output', (text) => text === 'begun\n');
  await ctl('n1', 'token', 'revoke', idOf(token));
  expect(await reader.ended).toBe(1);
  expect(reader.stderr).toContain('has been revoked');
  writeFileSync(file, '');
  expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
});

it('outlives the leader, comes back with the certificate that it was given, and with that alone no more once it is removed', async () => {
  const leader = (await cluster.leader()).name;
  await cluster.kill(leader);
  const { id } = await late.api.submit({ command: ['true'] });
  expect(await cluster.finalTask(id, { timeoutMs: 60_000 })).toMatchObject({ status: 'COMPLETED' });
  await cluster.restart(leader);
  expect(existsSync(path.join(late.settings.dataDir, 'tls', 'node.pem'))).toBe(true);
  await cluster.kill('n4');
  await cluster.restart('n4');

  // It cannot help one without a certificate, and says so.
  const asked = [late, cluster.node('n2')].map(({ settings }) => settings.listen);
  const other = await join('n5', ['--join', asked.join(',')]);
  expect(other.log()).toContain('n4 works without a copy of the state: ask a member');
  await ctl('n1', 'cluster', 'remove', 'n4');
  expect(await late.ended).toMatchObject({ code: 2 });
  late.start();
  expect((await late.ended).code).toBe(2);
  expect((await other.api.nodes()).map(({ name }) => name)).toContain('n5');
});
