/**
 * Secrets are planted in a real cluster, which is then used, also wrongly; afterwards they are looked for wherever they must not be: logs, the
 * files of the nodes, answers, events, command lines, and what the command line prints.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { ROUTES } from '../../src/http/routes/table.ts';
import type { TaskJson } from '../support/api.ts';
import { BareEngine } from '../support/bare-engine.ts';
import { CanarySearch, openToOthers, type Canary } from '../support/canaries.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { prepareCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

/**
 * Passed over: the file that the first token is given in; and the log of Raft, snapshots and the store hold the state, which the cluster needs to give a task its variables and to sign what it
 * sends. They are for the owner of the node alone, which is looked at instead.
 */
const STATE = new Set(['log', 'wal', 'snapshots', 'state', 'store', 'admin-token']);

/** Some twenty programs are run, one after the other. */
const TIMEOUT_MS = 400_000;

function made(what: string): Canary {
  return { what, secret: `canary-${randomBytes(12).toString('hex')}` };
}

const variable = made('a sensitive variable');
const webhook = made('the secret of a webhook');
const registry = made('the password of a registry');
const refused = made('a sensitive variable that was refused');
const mistaken = made('what was shown in the place of a token');
const REGISTRY = 'registry.example.com';

/** Everything that anybody was told, by what was asked. */
class Told {
  readonly #all: (readonly [where: string, text: string])[] = [];

  note(where: string, text: string): void {
    this.#all.push([where, text]);
  }

  lookWith(search: CanarySearch): number {
    for (const [where, text] of this.#all) search.look(where, text);
    return this.#all.length;
  }
}

class Bench {
  readonly cluster: TestCluster;
  readonly engine: BareEngine;
  /** The credentials of the registry, on every node. */
  readonly credentialsFile: string;
  /** Of the first admin. */
  readonly token: string;
  readonly told = new Told();

  constructor(parts: Pick<Bench, 'cluster' | 'engine' | 'credentialsFile' | 'token'>) {
    this.cluster = parts.cluster;
    this.engine = parts.engine;
    this.credentialsFile = parts.credentialsFile;
    this.token = parts.token;
  }

  async ask(
    method: string,
    url: string,
    body?: object | string,
    token = this.token,
  ): Promise<{ status: number; text: string }> {
    const answer = await this.askSilently(method, url, body, token);
    this.told.note(`${method} ${url}`, JSON.stringify([...answer.headers]) + answer.text);
    return answer;
  }

  /** The one answer that shows a secret is not among what is searched. */
  async askSilently(method: string, url: string, body?: object | string, token = this.token) {
    const [follower] = await this.cluster.followers();
    const sent = typeof body === 'object' ? JSON.stringify(body) : body;
    const type = sent === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`http://${follower?.settings.http ?? ''}${url}`, {
      method,
      body: sent ?? null,
      headers: { ...type, authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(30_000),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  async cli(
    args: readonly string[],
    stdin = '',
    env: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const withToken = { JARVIS_TOKEN: this.token, ...env };
    const { stdout, stderr } = await this.cluster.cli(args, { stdin, env: withToken });
    this.told.note(`jarvisctl ${args.join(' ')}`, stdout + stderr);
    return stdout;
  }
}

interface Planted {
  readonly canaries: readonly Canary[];
}

function secretOf(token: string): string {
  return token.split('_').slice(2).join('_');
}

/** A row for each kind of secret: how it comes into the cluster, and what must not be seen of it. */
const ROWS: readonly { readonly what: string; readonly plant: (bench: Bench) => Promise<Planted> }[] = [
  {
    what: 'webhooks',
    plant: async (bench) => {
      const url = 'https://alerts.example.com/jarvis';
      const alerts = { webhooks: [{ url, events: ['node.offline'], secret: webhook.secret }] };
      expect((await bench.ask('PUT', '/config', { alerts })).status).toBe(200);
      // As is printed, it may be sent back.
      const shown = await bench.cli(['config', 'get', 'alerts', '-o', 'yaml']);
      expect(await bench.cli(['config', 'set', '-f', '-'], shown)).toContain(url);
      await bench.ask('PUT', '/config', { alerts: { webhooks: [{ secret: webhook.secret, url: 'x' }] } });
      return { canaries: [webhook] };
    },
  },
  {
    what: 'registries',
    plant: async (bench) => {
      // The engine repeats them in the words with which it refuses.
      await refusedPull(bench, JSON.stringify({ username: 'jarvis', password: registry.secret }));
      expect(bench.engine.credentials.join('')).toContain(registry.secret);
      // What is no JSON may be the password itself.
      await refusedPull(bench, registry.secret);
      return { canaries: [registry] };
    },
  },
  {
    what: 'tokens of callers',
    plant: async (bench) => {
      const body = { role: 'viewer', name: 'canary' };
      const { status, text } = await bench.askSilently('POST', '/tokens', body);
      expect(status).toBe(201);
      const { id, token } = JSON.parse(text) as { readonly id: string; readonly token: string };
      expect((await bench.ask('GET', '/tasks', undefined, token)).status).toBe(200);
      // It may not, is named where ids are, is cut short, and is used by the command line.
      expect((await bench.ask('DELETE', '/tasks/x', undefined, token)).status).toBe(403);
      for (const url of [`/tasks/${token}`, `/batches/${token}`, `/nodes/${token}`, `/tasks?name=${token}`])
        await bench.ask('GET', url);
      await bench.ask('DELETE', `/tokens/${token}`);
      await bench.ask('POST', '/tokens', { role: token, name: token });
      await bench.ask('GET', '/tasks', undefined, token.slice(0, -1));
      await bench.ask('GET', '/tasks', undefined, mistaken.secret);
      await bench.cli(['get', token]);
      await bench.cli(['ls'], '', { JARVIS_TOKEN: token });
      await bench.cli(['node', 'cordon', 'n1'], '', { JARVIS_TOKEN: token });
      await bench.cli(['token', 'revoke', id]);
      expect((await bench.ask('GET', '/tasks', undefined, token)).status).toBe(401);
      await bench.cli(['ls'], '', { JARVIS_TOKEN: token });
      return {
        canaries: [
          { what: 'the token of a caller', secret: secretOf(token) },
          { what: 'the token of the first admin', secret: secretOf(bench.token) },
          mistaken,
        ],
      };
    },
  },
  {
    what: 'sensitive variables',
    plant: async (bench) => {
      await useVariables(bench);
      return { canaries: [variable, refused] };
    },
  },
  {
    what: 'join tokens',
    plant: async (bench) => {
      const { status, text } = await bench.askSilently('POST', '/cluster/join-tokens');
      expect(status).toBe(201);
      const { token } = JSON.parse(text) as { readonly token: string };
      await bench.ask('DELETE', `/cluster/join-tokens/${token}`);
      await bench.cli(['cluster', 'join-token', 'rm', token]);
      const [, , secret = ''] = token.split('_');
      expect(secret).toHaveLength(64);
      return { canaries: [{ what: 'a join token', secret }] };
    },
  },
];

const env = { SHOWN: 'seen', TOKEN: { value: variable.secret, sensitive: true } };
const digest = createHash('sha256').update(variable.secret).digest('hex');

/** A task whose image is not to be had, with these credentials for it. */
async function refusedPull(bench: Bench, credentials: string): Promise<void> {
  writeFileSync(bench.credentialsFile, credentials, { mode: 0o600 });
  const image = `${REGISTRY}/thing:1`;
  const { status, text } = await bench.ask('POST', '/tasks', { name: 'pulls', image });
  expect([status, text]).toEqual([201, expect.any(String)]);
  const { id } = JSON.parse(text) as TaskJson;
  expect((await bench.cluster.finalTask(id)).status).toBe('PERMANENTLY_FAILED');
  await bench.ask('GET', `/tasks/${id}`);
  await bench.cli(['describe', id]);
  await bench.cli(['logs', id]);
}

/** Tasks that have one, by every way in; one that fails and is tried again; and requests that are refused. */
async function useVariables(bench: Bench): Promise<void> {
  const { cluster } = bench;
  const prints = ['sh', '-c', 'printf %s "$TOKEN" | sha256sum'];
  const once = { name: 'prints', command: prints, env };
  const first = JSON.parse((await bench.ask('POST', '/tasks', once)).text) as TaskJson;
  expect((await cluster.finalTask(first.id)).status).toBe('COMPLETED');
  expect(await bench.cli(['logs', first.id])).toContain(digest);
  const flag = path.join(cluster.directory, 'tried');
  const script = `printf %s "$TOKEN" | sha256sum; [ -e ${flag} ] || { touch ${flag}; exit 75; }`;
  const retried = { name: 'again', command: ['sh', '-c', script], env, retry_policy: { backoff_base: 0 } };
  const secretly = await bench.cli(['run', '--secret-env', 'TOKEN', '--', ...prints], '', {
    TOKEN: variable.secret,
  });
  expect(secretly).toContain(digest);
  const yaml = JSON.stringify({ kind: 'Task', ...retried });
  const id = (await bench.cli(['submit', '-o', 'name', '-f', '-'], yaml)).trim().split('/').at(-1) ?? '';
  const done = await cluster.finalTask(id);
  expect([done.status, done.attempt]).toEqual(['COMPLETED', 2]);
  expect(await bench.cli(['logs', id])).toContain(digest);
  const batch = { kind: 'Batch', name: 'b', template: once, count: 3 };
  const dag = {
    kind: 'Dag',
    name: 'd',
    tasks: [
      { id: 'a', ...once },
      { id: 'b', ...once, dependencies: ['a'] },
    ],
  };
  expect((await bench.ask('POST', '/tasks/batch', batch)).status).toBe(201);
  expect((await bench.ask('POST', '/tasks/dag', dag)).status).toBe(201);
  await bench.ask('POST', '/plan', once);
  const shown = await bench.cli(['get', first.id, '-o', 'yaml']);
  for (const words of [
    ['describe', first.id],
    ['explain', first.id],
    ['ls', '-o', 'json'],
    ['events', '--since', 'oldest'],
  ])
    await bench.cli(words);
  await bench.cli(['submit', '-f', '-'], shown);
  await refuseThem(bench);
}

async function refuseThem(bench: Bench): Promise<void> {
  const hidden = { value: refused.secret, sensitive: true };
  const command = ['true'];
  for (const body of [
    { command, env: { A: { ...hidden, sensitive: refused.secret } } },
    { command, env: { A: { value: [refused.secret], sensitive: true } } },
    { command, env: { A: hidden }, name: 'no name' },
    { command, env: { A: hidden }, unknown: 1 },
    { env: { A: hidden } },
  ]) {
    expect((await bench.ask('POST', '/tasks', body)).status).toBe(422);
  }
  expect((await bench.ask('POST', '/tasks', `{"env": {"A": {"value": "${refused.secret}"},,`)).status).toBe(
    400,
  );
  await bench.cli(
    ['submit', '-f', '-'],
    JSON.stringify({ env: { A: { ...hidden, secret: refused.secret } } }),
  );
  await bench.cli(['submit', '-f', '-'], `env: {A: {value: "${refused.secret}", value: 1}}\n`);
}

/** Every GET that ends, of what there is. */
async function askEverything(bench: Bench): Promise<number> {
  const idOf = async (list: string) =>
    (JSON.parse((await bench.ask('GET', list)).text) as { items: readonly { id: string }[] }).items[0]?.id ??
    'x';
  const ids: Readonly<Record<string, string>> = {
    '/tasks/:id': await idOf('/tasks'),
    '/batches/:id': await idOf('/batches'),
    '/dags/:id': await idOf('/dags'),
  };
  let asked = 0;
  for (const { method, path: pattern, operation } of ROUTES) {
    // A snapshot is the state itself; events are read with the command line, which ends.
    if (method !== 'GET' || operation === 'saveSnapshot' || operation === 'watchEvents') continue;
    const of = Object.keys(ids).find((prefix) => pattern.startsWith(prefix));
    const url = pattern
      .replace(':id', ids[of ?? ''] ?? 'x')
      .replace(':name', pattern.startsWith('/nodes') ? 'n1' : 'task');
    await bench.ask('GET', url);
    asked += 1;
  }
  return asked;
}

/** A cluster that asks for tokens, whose containers are to come from a registry that wants a login. */
async function beginBench(): Promise<Bench> {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-secrets-'));
  const credentialsFile = path.join(directory, 'registry.json');
  const engine = await BareEngine.start(path.join(directory, 'engine.sock'));
  onTestFinished(async () => {
    await engine.close();
    rmSync(directory, { recursive: true });
  });
  const cluster = await prepareCluster({
    heartbeat: SHORT_HEARTBEAT,
    drivers: 'process,docker',
    policy: { registries: { [REGISTRY]: { credentials: credentialsFile } } },
    env: { JARVISD_AUTH: 'true', DOCKER_HOST: `unix://${engine.socket}` },
  });
  await cluster.start();
  const token = await waitFor('the token of the first admin', async () => {
    const file = cluster.nodes
      .map(({ settings }) => path.join(settings.dataDir, 'admin-token'))
      .find((each) => existsSync(each));
    return file !== undefined && readFileSync(file, 'utf8').trim();
  });
  for (const node of cluster.nodes) node.api.token = token;
  return new Bench({ cluster, engine, credentialsFile, token });
}

describe('secrets', () => {
  it(
    'are nowhere but where they are needed',
    async () => {
      const bench = await beginBench();
      const { cluster } = bench;
      const canaries: Canary[] = [];
      for (const { plant } of ROWS) canaries.push(...(await plant(bench)).canaries);
      const search = new CanarySearch(canaries);

      // One that runs meanwhile: its watchdog and its process have command lines.
      const go = path.join(cluster.directory, 'go');
      const waits = ['sh', '-c', `while [ ! -e ${go} ]; do sleep 0.1; done`];
      const running = JSON.parse(
        (await bench.ask('POST', '/tasks', { command: waits, env })).text,
      ) as TaskJson;
      await cluster.task(running.id, ({ status }) => status === 'RUNNING');
      search.lookAtCommandLines(cluster.processes());
      for (const node of cluster.nodes) search.lookBelow(node.settings.dataDir, STATE);
      expect(await askEverything(bench)).toBeGreaterThan(15);
      writeFileSync(go, '');
      await cluster.finalTask(running.id);

      let files = 0;
      for (const node of cluster.nodes) {
        search.look(`the log of ${node.name}`, node.log());
        files += search.lookBelow(node.settings.dataDir, STATE);
      }
      expect(files).toBeGreaterThan(10);
      // The records of who did what are among them.
      const [record = ''] = cluster.nodes
        .map(({ settings }) => path.join(settings.dataDir, 'audit.log'))
        .filter((file) => existsSync(file))
        .map((file) => readFileSync(file, 'utf8'));
      for (const what of ['createToken', 'createJoinToken', 'submitTasks', '"result":"unauthenticated"'])
        expect(record).toContain(what);
      expect(bench.told.lookWith(search)).toBeGreaterThan(40);
      expect(search.found).toEqual([]);

      const everywhere = new CanarySearch([variable, webhook]);
      for (const node of cluster.nodes) {
        expect(existsSync(node.settings.dataDir)).toBe(true);
        everywhere.lookBelow(node.settings.dataDir, new Set());
        expect(openToOthers(node.settings.dataDir)).toEqual([]);
      }
      // The search finds what there is to find: without its exceptions it comes upon the state.
      expect(everywhere.found.length).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
});
