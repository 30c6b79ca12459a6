/**
 * With TLS and tokens each node of the autoscaler comes in by a join token of its own, takes work, and goes again. What it came in by,
 * and what it was given, lets nobody in after it, and stands nowhere but where it has to.
 */
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates, setDefaultCACertificates } from 'node:tls';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { scalingStatus, TWO_MORE_PROCESSES } from '../support/autoscaler.ts';
import { CanarySearch, openToOthers } from '../support/canaries.ts';
import { Certificates, clientEnvironment, nodeEnvironment } from '../support/certificates.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { adminTokenOf } from '../support/credentials.ts';
import type { RunResult } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

const FOUNDERS = ['n1', 'n2', 'n3'];
/** Two at a time fit on a node. */
const TASKS = 12;
const LONG_MS = 90_000;

/** What a node of the autoscaler had, kept from before its end. */
interface Relics {
  readonly node: string;
  readonly joinToken: string;
  /** Key and certificate in one. */
  readonly pem: string;
}

let home: string;
let certificates: Certificates;
let cluster: TestCluster;
let clientEnv: Readonly<Record<string, string>>;

beforeAll(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'jarvis-autoscaling-tls-'));
  certificates = await Certificates.create(path.join(home, 'certs'));
  for (const name of FOUNDERS) await certificates.node(name);
  setDefaultCACertificates([certificates.authorityPem]);
  cluster = await TestCluster.create({
    scheme: 'https',
    heartbeat: SHORT_HEARTBEAT,
    capacity: 'cpu=1,memory=1Gi',
    joining: 1,
    envOf: () => Promise.resolve(environmentOf),
  });
  await cluster.start();
  const { token } = await adminTokenOf(cluster);
  for (const { api } of cluster.nodes) api.token = token;
  clientEnv = { ...clientEnvironment(await certificates.client('admin')), JARVIS_TOKEN: token };
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
  if (!FOUNDERS.includes(name)) return {};
  const tls = nodeEnvironment(certificates.files(name));
  return name === 'n2' ? { ...tls, JARVISD_TLS_CA_KEY: path.join(certificates.directory, 'ca.key') } : tls;
}

function ctl(words: readonly string[], stdin?: string): Promise<RunResult> {
  return cluster.cli(words, { env: clientEnv, peer: 'n1', ...(stdin === undefined ? {} : { stdin }) });
}

function directories(): readonly string[] {
  return cluster.nodes.flatMap(({ settings }) => {
    const directory = path.join(settings.dataDir, 'instances');
    return existsSync(directory) ? readdirSync(directory).map((name) => path.join(directory, name)) : [];
  });
}

function relicsOf(directory: string): Relics {
  const { name } = JSON.parse(readFileSync(path.join(directory, 'node.json'), 'utf8')) as { name: string };
  const pem = path.join(home, `${name}.pem`);
  copyFileSync(path.join(directory, 'data', 'tls', 'node.pem'), pem);
  return { node: name, joinToken: readFileSync(path.join(directory, 'join-token'), 'utf8').trim(), pem };
}

/** How a node of that name ends that comes with these flags, and what it says. */
async function refused(name: string, flags: readonly string[]): Promise<string> {
  const node = cluster.node('n4');
  const before = node.log().length;
  const directory = path.join(home, `again-${name}`);
  rmSync(directory, { recursive: true, force: true });
  node.startWithout(['--name', '--data-dir'], ['--name', name, '--data-dir', directory, ...flags]);
  const { code } = await node.ended;
  expect(code).toBe(1);
  return node.log().slice(before);
}

it('nodes come by a join token each, take work and go; nobody comes back by what they had', async () => {
  const gate = path.join(cluster.directory, 'gate');
  const trace = path.join(cluster.directory, 'trace');
  const set = await ctl(['config', 'set', '-f', '-'], JSON.stringify({ autoscaling: TWO_MORE_PROCESSES }));
  expect(set).toMatchObject({ status: 0 });
  const script = `echo "$JARVIS_TASK_ID $JARVIS_NODE" >> ${trace}; while [ ! -e ${gate} ]; do sleep 0.1; done`;
  const template = {
    name: 'gated',
    command: ['sh', '-c', script],
    resources: { cpu: '500m', memory: '16Mi' },
  };
  const made = await cluster.api().call('POST', '/tasks/batch', JSON.stringify({ template, count: TASKS }));
  expect(made.status).toBe(201);
  const { batch_id: batch } = JSON.parse(made.text) as { batch_id: string };

  const workers = await waitFor(
    'two more nodes that work',
    () => {
      const found = new Set(linesOf(trace).map((line) => line.split(' ')[1] ?? ''));
      const others = [...found].filter((name) => !FOUNDERS.includes(name));
      return others.length >= 2 && others;
    },
    { timeoutMs: LONG_MS },
  );
  await waitFor('their join tokens to be gone', async () => {
    const { items } = await cluster.api().get<{ items: readonly object[] }>('/cluster/join-tokens');
    return items.length === 0;
  });
  const relics = directories()
    .filter((directory) => existsSync(path.join(directory, 'data', 'tls', 'node.pem')))
    .map(relicsOf);
  expect(relics.map(({ node }) => node)).toEqual(expect.arrayContaining(workers));
  expect(new Set(relics.map(({ joinToken }) => joinToken)).size).toBe(relics.length);
  const search = new CanarySearch(
    relics.map(({ node, joinToken }) => ({
      what: `the join token of ${node}`,
      secret: joinToken.split('_')[2] ?? '',
    })),
  );
  // The file that its node reads it from, for its owner alone.
  expect(search.lookBelow(cluster.directory, new Set(['join-token']))).toBeGreaterThan(20);
  search.lookAtCommandLines(cluster.processes());
  expect(directories().flatMap(openToOthers)).toEqual([]);

  writeFileSync(gate, '');
  await waitFor(
    'the batch',
    async () => (await cluster.api().get<{ status: string }>(`/batches/${batch}`)).status === 'COMPLETED',
    { timeoutMs: LONG_MS },
  );
  expect(linesOf(trace)).toHaveLength(TASKS);
  await waitFor('no instances', async () => (await scalingStatus(cluster)).instances.length === 0, {
    timeoutMs: LONG_MS,
  });
  expect((await cluster.api().nodes()).map(({ name }) => name).sort()).toEqual(FOUNDERS);
  expect((await cluster.api().cluster()).members.map(({ name }) => name).sort()).toEqual(FOUNDERS);
  expect(directories()).toEqual([]);
  expect(cluster.processes().filter(({ commandLine }) => commandLine.includes('/instances/'))).toEqual([]);

  const authorities = path.join(certificates.directory, 'ca.crt');
  for (const { node, joinToken, pem } of relics) {
    const certificate = ['--tls-ca', authorities, '--tls-cert', pem, '--tls-key', pem];
    expect(await refused(node, certificate)).toContain(`${node} was removed from the cluster`);
    const file = path.join(home, `${node}.join-token`);
    writeFileSync(file, joinToken, { mode: 0o600 });
    expect(await refused(node, ['--join-token-file', file])).toContain(
      'not one of this cluster, or not any more',
    );
  }
  for (const url of ['/autoscaler', '/autoscaler/history', '/nodes', '/events?since=oldest&follow=false'])
    search.look(url, (await cluster.api().call('GET', url, null)).text);
  search.lookBelow(cluster.directory, new Set());
  expect(search.found).toEqual([]);
});
