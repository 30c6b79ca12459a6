import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { LogChunk } from '../generated/worker.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { tokenText, type TokenParts } from '../lib/token-text.ts';
import { copylessRouting, FakeMembers } from '../operations/copyless/copyless.test-kit.ts';
import { testContext, testOperations } from '../operations/operations.test-kit.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { hashSecret, newToken } from '../operations/secrets.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import { callersService } from '../rpc/callers-service.ts';
import { ChannelPool } from '../rpc/channel.ts';
import { clusterService } from '../rpc/cluster-service.ts';
import { createRemotes } from '../rpc/remotes.ts';
import { createServer } from '../rpc/server.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { parseConfig } from './config.ts';
import { Guarding } from './guarding.ts';

let cluster: TestCluster;
let closers: (() => unknown)[];
let token: TokenParts;
let roots: Map<string, string>;
/** Of the node without a copy of the state, as is what follows. */
let guarding: Guarding;
let operations: ClusterOperations;

beforeEach(async () => {
  cluster = new TestCluster(['n1']);
  closers = [];
  roots = new Map();
  token = newToken();
  cluster.execute({
    type: 'createToken',
    id: token.id,
    name: 'ada',
    role: 'submitter',
    secret: await hashSecret(token.secret),
    validMs: null,
    principal: 'test',
    isFirst: false,
    idempotency: null,
  });
  const pool = new ChannelPool();
  const remotes = createRemotes(pool);
  closers.push(
    () => pool.close(),
    () => remotes.close(),
  );
  const address = await serveMember(remotes);
  cluster.register('w1', '127.0.0.1:1');
  cluster.lead('n1');
  const leaders = new FakeMembers('w1', [{ name: 'n1', address }]);
  guarding = guardingOf('w1');
  const localLogs = {
    async *read(_request: object, signal: AbortSignal): AsyncGenerator<LogChunk> {
      yield { stream: 'stdout', at_ms: 1, data: Buffer.from('hello') };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  const routing = copylessRouting(leaders, { remotes, localLogs });
  operations = guarding.beforeCopyless(routing, { leaders, pool, clusterId: 'c-1' });
});

afterEach(async () => {
  for (const close of closers.reverse()) await close();
});

function guardingOf(name: string): Guarding {
  const root = mkdtempSync(path.join(tmpdir(), 'jarvis-guarding-'));
  roots.set(name, root);
  const listen = '127.0.0.1:7101';
  const config = parseConfig({
    name,
    data_dir: root,
    listen,
    http: '127.0.0.1:7100',
    peers: `${name}=${listen}`,
    auth: true,
  });
  const made = new Guarding({ config, clock: systemClock, log: silentLog });
  closers.push(
    () => rmSync(root, { recursive: true }),
    () => made.close(),
  );
  return made;
}

function digests(): never {
  throw new Error('the leader asks nobody');
}

/** @returns its address */
async function serveMember(remotes: ReturnType<typeof createRemotes>): Promise<string> {
  const member = guardingOf('n1');
  const open = member.before(testOperations(cluster, 'n1', { remotes }), {
    replica: cluster.replica('n1'),
    questions: { digests },
  });
  const { guard } = member;
  const services = [clusterService(open, silentLog, guard), callersService('c-1', guard, silentLog)];
  const server = await createServer({ listen: '127.0.0.1:0', services });
  closers.push(() => server.close(0));
  cluster.register('n1', server.address);
  return server.address;
}

function as(shown: string | null): CallContext {
  return testContext({ caller: { token: shown, address: '10.0.0.9', node: null } });
}

async function submit(context: CallContext): Promise<string> {
  const tasks = [wireFromPlain({ command: ['true'] })];
  const answer = await operations.submitTasks({ tasks, idempotency_key: '' }, context);
  return answer.tasks[0]?.id ?? '';
}

/** Of the audit log, once it is written. */
async function recordsOf(name: string): Promise<object[]> {
  const file = path.join(roots.get(name) ?? '', 'audit.log');
  for (;;) {
    await turn();
    try {
      const text = readFileSync(file, 'utf8');
      if (text.endsWith('\n'))
        return text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as object);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

describe('a node without a copy of the state', () => {
  const wrong = tokenText({ id: 'bbbbbbbbbbbb', secret: 'w'.repeat(43) });

  it('lets in whose token a member knows, and its leader looks at it once more', async () => {
    const id = await submit(as(tokenText(token)));
    expect(cluster.state.tasks.get(id)).toBeDefined();
    const record = { principal: `token:${token.id}`, name: 'ada', operation: 'submitTasks', result: 'ok' };
    expect(await recordsOf('w1')).toMatchObject([{ ...record, forwarded: false, address: '10.0.0.9' }]);
    expect(await recordsOf('n1')).toMatchObject([{ ...record, forwarded: true }]);
  });

  it('lets in nobody else, and records it', async () => {
    await expect(submit(as(wrong))).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(submit(as(null))).rejects.toMatchObject({ code: 'unauthenticated' });
    const { caller } = as(wrong);
    if (caller === undefined || guarding.http === null) throw new Error('nothing stands before HTTP');
    await expect(
      guarding.http.authenticate(caller, 'submitTasks', new AbortController().signal),
    ).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(cluster.state.tasks.size).toBe(0);
    expect(await recordsOf('w1')).toMatchObject([{ operation: 'submitTasks', result: 'unauthenticated' }]);
  });

  it('lets nobody do what the role is too little for, before anybody else is asked', async () => {
    await expect(
      operations.setLogLevel({ name: 'w1', level: 'debug' }, as(tokenText(token))),
    ).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('ends what it answers itself when the token is revoked', async () => {
    const context = as(tokenText(token));
    const id = await submit(context);
    cluster.assign(id, 'w1');
    cluster.report(id, 'RUNNING');
    const read: string[] = [];
    const reading = (async () => {
      const request = { id, attempt: 0, follow: true, tail: undefined, stream: '' };
      for await (const { data } of operations.readLogs(request, context)) {
        read.push(data.toString());
        cluster.execute({ type: 'revokeToken', id: token.id, idempotency: null });
      }
    })();
    await expect(reading).rejects.toMatchObject({
      code: 'unauthenticated',
      message: `token ${token.id} has been revoked`,
    });
    expect(read).toEqual(['hello']);
  });

  it('is taken at its word for no node that asks for itself', async () => {
    const node = { name: 'w1', startId: 'w1' };
    const context = testContext({ caller: { token: null, address: '10.0.0.9', node } });
    await expect(operations.getNode({ name: 'w1' }, context)).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });
});
