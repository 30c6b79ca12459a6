/**
 * Every operation of the OpenAPI document, called through a follower of three real nodes with TLS and tokens, by the
 * examples of docs/api.md as they stand there; each answer is held to the document.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates, setDefaultCACertificates } from 'node:tls';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { examplesObstacle, ExampleShell, readExamples, type ExampleRun } from '../support/api-examples.ts';
import { Certificates, nodeEnvironment } from '../support/certificates.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { adminTokenOf, ask, loopbackAddress, type Asked } from '../support/credentials.ts';
import { DocumentedApi, type Operation } from '../support/documented-api.ts';
import { messagesOf } from '../support/event-stream.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { freePort, HOST } from '../support/ports.ts';
import { runProgram } from '../support/program.ts';
import { waitFor } from '../support/wait.ts';

const DOCUMENTED_ADDRESS = '127.0.0.1:8101';
const OVER = new Set(['COMPLETED', 'FAILED', 'PERMANENTLY_FAILED', 'CANCELLED']);

const api = new DocumentedApi();
const { beginning, examples } = readExamples();

let home: string;
let cluster: TestCluster;
/** That every call goes through. */
let follower: NodeProcess;
/** Neither that one nor, at first, the leader. */
let other: NodeProcess;
let admin: string;
let shell: ExampleShell;
const closing: (() => void)[] = [];

async function read<T>(where: string): Promise<T> {
  const { status, text } = await ask(follower, { path: where, token: admin });
  if (status !== 200) throw new Error(`GET ${where}: ${text}`);
  return JSON.parse(text) as T;
}

async function leaderName(): Promise<string> {
  return await waitFor('a leader', async () => (await read<{ leader: string | null }>('/cluster')).leader);
}

/** Elections come when they like: whoever is asked is to be a follower all the same. */
async function follow(): Promise<void> {
  await waitFor('somebody else to lead', async () => {
    if ((await leaderName()) !== follower.name) return true;
    const body = JSON.stringify({ to: other.name });
    await ask(follower, { method: 'POST', path: '/cluster/transfer', token: admin, body });
    return false;
  });
}

/** From the answer of an operation on, what the examples behind it stand on. */
const NAMED: Readonly<Record<string, readonly [variable: string, field: string]>> = {
  submitTask: ['TASK', 'id'],
  submitBatch: ['BATCH', 'batch_id'],
  submitDag: ['DAG', 'id'],
  createToken: ['TOKEN_ID', 'id'],
  createJoinToken: ['JOIN_TOKEN_ID', 'id'],
};
const values = new Map<string, string>();

/** Where n4 asks. */
let entrance: number;

/** From now on the follower is reached there. */
async function openEntrance(): Promise<void> {
  const [host, port] = follower.settings.listen.split(':');
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    const outer = connect({ host, port: Number(port) });
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((resolve) => server.listen(entrance, HOST, resolve));
  closing.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
}

async function over(where: string): Promise<void> {
  await waitFor(`${where} is over`, async () => OVER.has((await read<{ status: string }>(where)).status));
}

/** What a reader of the page waits for, or does elsewhere, before an example. */
const FIRST: Readonly<Record<string, () => Promise<unknown>>> = {
  getTaskUsage: async () => {
    const body = JSON.stringify({ command: ['sleep', '300'] });
    const { text } = await ask(follower, { method: 'POST', path: '/tasks', token: admin, body });
    const { id } = JSON.parse(text) as { readonly id: string };
    shell.set('RUNNING', id);
    await waitFor('the use of a task is known', () => read<object>(`/tasks/${id}/usage`));
  },
  retryTask: () => over(`/tasks/${values.get('TASK')}`),
  retryBatch: () => over(`/batches/${values.get('BATCH')}`),
  retryDag: () => over(`/dags/${values.get('DAG')}`),
  addMember: async () => {
    const node = cluster.node('n4');
    // Nobody is there yet whom it could ask to be let in.
    entrance = await freePort();
    node.startWithout(['--join'], ['--join', `${HOST}:${entrance}`]);
    await waitFor('n4 waits', () => node.log().includes('not a member yet'));
  },
  promoteMember: async () => {
    await openEntrance();
    await cluster.node('n4').ready();
    await waitFor('n4 has caught up', async () => {
      const { items } = await read<{ items: { name: string; state: string; lag: number }[] }>(
        '/cluster/members',
      );
      return items.some(({ name, state, lag }) => name === 'n4' && state === 'replicate' && lag === 0);
    });
  },
  testAlert: async () => {
    // Nobody listens there: the answer says so.
    const body = JSON.stringify({ alerts: { webhooks: [{ url: `http://${HOST}:1/` }] } });
    expect(await ask(follower, { method: 'PUT', path: '/config', token: admin, body })).toMatchObject({
      status: 200,
    });
  },
  removeNode: async () => {
    expect(await cluster.node('n4').ended).toMatchObject({ code: 2 });
    await waitFor(
      'n4 is OFFLINE',
      async () => (await read<{ status: string }>('/nodes/n4')).status === 'OFFLINE',
    );
  },
};

/** What the document cannot say of answers that are no JSON. */
const FORM: Readonly<Record<string, (run: ExampleRun) => Promise<void> | void>> = {
  readLogs: ({ answer }) => expect(answer.body.toString()).toBe('hello\n'),
  watchEvents: ({ answer }) => {
    const messages = messagesOf(answer.body.toString());
    expect(messages.length).toBeGreaterThan(10);
    for (const { id, data } of messages) {
      const event = JSON.parse(data) as { index: number; position: number; kind: string };
      expect(api.faultsOfComponent('Event', event)).toEqual([]);
      expect(id).toBe(`${event.index}.${event.position}`);
      expect(['task', 'node']).toContain(event.kind);
    }
  },
  saveSnapshot: async ({ request }) => {
    const file = path.join(home, request.output ?? '');
    expect(await runProgram('jarvisctl', ['snapshot', 'inspect', file])).toMatchObject({ status: 0 });
  },
};

function nowhere({ path: url }: Operation): string {
  return url.replaceAll(/\{\w+\}/g, 'nowhere');
}

let addresses = 0;

/** Each refusal from an address of its own: those that show no token are counted. */
async function faultsOfRefusal({ operationId }: Operation, asked: Asked): Promise<unknown> {
  addresses += 1;
  const { status, headers, text } = await ask(follower, { ...asked, from: loopbackAddress(8, addresses) });
  const answer = {
    status,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    body: Buffer.from(text),
  };
  return { status, faults: api.faultsOfAnswer(operationId, answer) };
}

const obstacle = examplesObstacle();
if (obstacle !== null) process.stderr.write(`SKIPPED: the examples of docs/api.md: ${obstacle}\n`);

describe.skipIf(obstacle !== null && process.env['CI'] !== 'true')('the API', () => {
  beforeAll(async () => {
    home = mkdtempSync(path.join(tmpdir(), 'jarvis-api-'));
    const certificates = await Certificates.create(path.join(home, 'made'));
    for (const name of ['n1', 'n2', 'n3', 'n4']) await certificates.node(name);
    setDefaultCACertificates([certificates.authorityPem]);
    cluster = await TestCluster.create({
      scheme: 'https',
      joining: 1,
      heartbeat: SHORT_HEARTBEAT,
      envOf: () => Promise.resolve((name) => nodeEnvironment(certificates.files(name))),
    });
    await cluster.start();
    const made = await adminTokenOf(cluster);
    admin = made.token;
    follower = made.node;
    const leader = await leaderName();
    const followers = cluster.nodes.filter(({ name, isRunning }) => isRunning && name !== leader);
    [follower, other] = followers as [NodeProcess, NodeProcess];

    shell = new ExampleShell(home);
    mkdirSync(path.join(home, 'certs'));
    copyFileSync(path.join(certificates.directory, 'ca.crt'), path.join(home, 'certs', 'ca.crt'));
    copyFileSync(path.join(made.node.settings.dataDir, 'admin-token'), path.join(home, 'admin-token'));
    shell.set('JARVIS', `https://${follower.settings.http}`);
    shell.set('CURL_CA_BUNDLE', 'certs/ca.crt');
    shell.set('NODE', other.name);
    shell.set('NEW_NODE', 'n4');
    shell.set('ADDRESS', cluster.node('n4').settings.listen);
  });

  afterAll(async () => {
    for (const close of closing) close();
    await cluster.dispose();
    setDefaultCACertificates(rootCertificates);
    rmSync(home, { recursive: true });
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
  });

  describe('docs/api.md', () => {
    it('begins so that every example can be run', async () => {
      expect(beginning).toContain(`https://${DOCUMENTED_ADDRESS} `);
      const { answer } = await shell.run(beginning.replace(DOCUMENTED_ADDRESS, follower.settings.http));
      expect(answer.status).toBe(200);
    });
  });

  describe('through a follower', () => {
    beforeEach(follow);

    it.each(examples)('$operation: $script', async ({ operation, script }) => {
      await FIRST[operation]?.();
      const run = await shell.run(script);
      const { request, answer } = run;
      const found = {
        request: api.faultsOfRequest(operation, request),
        status: answer.status,
        answer: api.faultsOfAnswer(operation, answer),
      };
      const text = answer.status < 400 ? '' : answer.body.toString();
      const status = Object.keys(api.operation(operation).responses)[0];
      expect({ ...found, text }).toEqual({ request: [], status: Number(status), answer: [], text: '' });
      await FORM[operation]?.(run);
      const [variable, field] = NAMED[operation] ?? [];
      if (variable === undefined || field === undefined) return;
      const value = (JSON.parse(answer.body.toString()) as Record<string, string>)[field] ?? '';
      values.set(variable, value);
      shell.set(variable, value);
    });
  });

  describe('what is refused', () => {
    const all = [...api.operations.values()];

    it.each(all.filter(({ security }) => security === undefined))(
      '$operationId asks for a token',
      async (operation) => {
        const { method } = operation;
        const refusal = await faultsOfRefusal(operation, { method, path: nowhere(operation) });
        expect(refusal).toEqual({ status: 401, faults: [] });
      },
    );

    it.each(all)('$operationId takes no unknown parameter', async (operation) => {
      const { method } = operation;
      const asked = { method, path: `${nowhere(operation)}?nope=1`, token: admin };
      expect(await faultsOfRefusal(operation, asked)).toEqual({ status: 400, faults: [] });
    });

    it.each(all.filter(({ path: url }) => url.includes('{')))(
      '$operationId knows nothing of that name',
      async (operation) => {
        const { method, operationId, requestBody } = operation;
        const example = examples.find((each) => each.operation === operationId);
        const [, json] = /--json '([^']+)'/.exec(example?.script ?? '') ?? [];
        const body = requestBody === undefined ? undefined : (json ?? '{}');
        const asked = {
          method,
          path: nowhere(operation),
          token: admin,
          ...(body === undefined ? {} : { body }),
        };
        expect(await faultsOfRefusal(operation, asked)).toEqual({ status: 404, faults: [] });
      },
    );

    it.each(all)('$operationId is called with no other method', async (operation) => {
      const asked = { method: 'OPTIONS', path: nowhere(operation), token: admin };
      expect(await faultsOfRefusal(operation, asked)).toEqual({ status: 405, faults: [] });
    });

    it.each(all.filter(({ requestBody }) => requestBody !== undefined))(
      '$operationId takes no other body',
      async (operation) => {
        const { method } = operation;
        for (const [body, status] of [
          ['{"nope": 1}', 422],
          ['"nope"', 422],
          ['{"nope"', 400],
        ] as const) {
          const asked = { method, path: nowhere(operation), token: admin, body };
          expect([body, await faultsOfRefusal(operation, asked)]).toEqual([body, { status, faults: [] }]);
        }
      },
    );
  });
});
