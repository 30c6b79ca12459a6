import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { SubmitAnswer, SubmitTasksRequest } from '../generated/cluster.ts';
import { ClusterClient } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { testContext, testOperations } from '../operations/operations.test-kit.ts';
import { TestCluster } from '../operations/test-cluster.test-kit.ts';
import type { AcceptedTasks, ClusterOperations } from '../operations/port.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { ChannelPool } from './channel.ts';
import { clusterService } from './cluster-service.ts';
import { createRemotes } from './remotes.ts';
import { createServer, type RpcServer } from './server.ts';

const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(operations: Partial<ClusterOperations>): Promise<RpcServer> {
  const services = [clusterService(operations as ClusterOperations, silentLog)];
  const server = await createServer({ listen: '127.0.0.1:0', services });
  closers.push(() => server.close(0));
  return server;
}

type Stream = grpc.ClientDuplexStream<SubmitTasksRequest, SubmitAnswer>;

function openStream(address: string): Stream {
  const client = new ClusterClient(address, grpc.credentials.createInsecure());
  const stream = client.streamSubmits();
  closers.push(() => {
    stream.on('error', () => undefined);
    stream.cancel();
    client.close();
  });
  return stream;
}

const request = (name: string, key = name): SubmitTasksRequest => ({
  tasks: [wireFromPlain({ name, command: ['true'] })],
  idempotency_key: key,
});

/** All answers, once the server has ended the stream. */
async function answersTo(stream: Stream, requests: readonly SubmitTasksRequest[]): Promise<SubmitAnswer[]> {
  const answers: SubmitAnswer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.on('data', (answer: SubmitAnswer) => answers.push(answer));
  stream.on('end', resolve);
  stream.on('error', reject);
  for (const one of requests) stream.write(one);
  stream.end();
  await promise;
  return answers;
}

describe('a stream of submits to a cluster', () => {
  let cluster: TestCluster;
  let servers: Map<string, RpcServer>;

  beforeEach(async () => {
    cluster = new TestCluster(['n1', 'n2', 'n3']);
    servers = new Map();
    for (const name of ['n1', 'n2', 'n3']) {
      const pool = new ChannelPool();
      const remotes = createRemotes(pool);
      const server = await serve(testOperations(cluster, name, { remotes }));
      closers.push(() => {
        remotes.close();
        pool.close();
      });
      cluster.register(name, server.address);
      servers.set(name, server);
    }
    cluster.lead('n1');
  });

  const addressOf = (name: string): string => servers.get(name)?.address ?? '';

  it.each(['n1', 'n2'])('is answered in order through %s; a refusal ends nothing', async (through) => {
    const bad = { tasks: [wireFromPlain({ name: 'b', command: [] })], idempotency_key: 'b' };
    const requests = [request('a'), bad, request('c'), request('c2', 'c'), request('a')];
    const [a, b, c, conflict, again] = await answersTo(openStream(addressOf(through)), requests);
    expect(b).toMatchObject({ task_ids: [], refusal: { code: 'invalid', faults: [{ path: 'command' }] } });
    expect(conflict).toMatchObject({ refusal: { code: 'idempotency_conflict' } });
    expect(again).toEqual(a);
    const ids = [a, c].map((answer) => answer?.task_ids[0] ?? '');
    expect(ids.map((id) => cluster.state.tasks.get(id)?.name)).toEqual(['a', 'c']);
    expect(cluster.state.tasks.size).toBe(2);
  });

  it('takes more requests than may wait at a time', async () => {
    const count = 3 * limits.submitsPerStream;
    const requests = Array.from({ length: count }, (_, at) => request(`t${at}`));
    const answers = await answersTo(openStream(addressOf('n3')), requests);
    expect(answers.map(({ task_ids: [id] }) => cluster.state.tasks.get(id ?? '')?.name)).toEqual(
      requests.map(({ tasks: [task] }) => task?.name),
    );
  });

  it('goes on with another leader where one dies with requests in its hands, each of them once', async () => {
    cluster.replica('n1').afterPropose = async () => {
      void servers.get('n1')?.close(0);
      cluster.lead('n3');
      await new Promise(() => undefined);
    };
    const requests = Array.from({ length: 50 }, (_, at) => request(`t${at}`));
    const answers = await answersTo(openStream(addressOf('n2')), requests);
    const names = answers.map(({ task_ids: [id] }) => cluster.state.tasks.get(id ?? '')?.name);
    expect(names).toEqual(requests.map(({ tasks: [task] }) => task?.name));
    expect(cluster.state.tasks.size).toBe(50);
  });
});

describe('a stream of submits to a node', () => {
  it('is not read while too many of its requests wait', async () => {
    const waiting: ((accepted: AcceptedTasks) => void)[] = [];
    let seen = 0;
    const acceptTasks = (): Promise<AcceptedTasks> => {
      seen += 1;
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    };
    const { address } = await serve({ acceptTasks, version: refuseVersion });
    const stream = openStream(address);
    const total = limits.submitsPerStream + 500;
    const answered = answersTo(
      stream,
      Array.from({ length: total }, () => request('a')),
    );
    await vi.waitFor(() => expect(seen).toBe(limits.submitsPerStream));
    // Another call of the same client, so that what was sent before it has arrived.
    await expect(asked(address)).resolves.toBe('asked');
    expect(seen).toBe(limits.submitsPerStream);
    for (let at = 0; at < total; at += 1) {
      await vi.waitFor(() => expect(waiting.length).toBeGreaterThan(0));
      waiting.shift()?.({ taskIds: [`task-${at}`] });
    }
    expect((await answered).map(({ task_ids: [id] }) => id)).toEqual(
      Array.from({ length: total }, (_, at) => `task-${at}`),
    );
  });

  it('tells each caller that its outcome is unknown where the stream breaks', async () => {
    const { promise: taken, resolve: onTaken } = Promise.withResolvers<void>();
    const server = await serve({
      acceptTasks: () => {
        onTaken();
        return new Promise(() => undefined);
      },
    });
    const pool = new ChannelPool();
    const remotes = createRemotes(pool);
    closers.push(() => pool.close());
    const calls = ['a', 'b'].map((name) =>
      remotes.operations(server.address).acceptTasks(request(name), testContext()),
    );
    await taken;
    void server.close(0);
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'outcome_unknown' });
    remotes.close();
  });

  it('keeps the place of one who has gone', async () => {
    const answers: (() => void)[] = [];
    const { address } = await serve({
      acceptTasks: ({ idempotency_key: key }) =>
        new Promise((resolve) => void answers.push(() => resolve({ taskIds: [`task-${key}`] }))),
    });
    const pool = new ChannelPool();
    const remotes = createRemotes(pool);
    closers.push(() => {
      remotes.close();
      pool.close();
    });
    const gone = new AbortController();
    const { signal } = gone;
    const first = remotes.operations(address).acceptTasks(request('a'), testContext({ signal }));
    const second = remotes.operations(address).acceptTasks(request('b'), testContext());
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    gone.abort();
    await expect(first).rejects.toMatchObject({ code: 'outcome_unknown' });
    for (const answer of answers) answer();
    await expect(second).resolves.toEqual({ taskIds: ['task-b'] });
  });
});

function refuseVersion(): never {
  throw new JarvisError('unavailable', 'asked');
}

async function asked(address: string): Promise<string> {
  const client = new ClusterClient(address, grpc.credentials.createInsecure());
  closers.push(() => client.close());
  return await new Promise((resolve) => {
    client.getVersion({}, (error) => resolve(error?.details ?? 'answered'));
  });
}
