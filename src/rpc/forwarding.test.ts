import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ClusterService, ListTasksRequest, VersionInfo } from '../generated/cluster.ts';
import type { Task } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { testContext } from '../operations/operations.test-kit.ts';
import { type TestCluster } from '../operations/test-cluster.test-kit.ts';
import { wireFromPlain } from '../spec/wire.ts';
import { ChannelPool } from './channel.ts';
import type { Method } from './client.ts';
import { streamCall, unaryCall } from './client.ts';
import type { Freshness } from './freshness.ts';
import { createRemotes } from './remotes.ts';
import { ServedCluster } from './served-cluster.test-kit.ts';

let served: ServedCluster;
let cluster: TestCluster;
let client: ChannelPool;

const context = testContext();

beforeEach(async () => {
  served = await ServedCluster.start();
  cluster = served.cluster;
  client = new ChannelPool();
});

afterEach(async () => {
  client.close();
  await served.close();
});

function ask<Request, Response>(
  name: string,
  method: Method<Request, Response>,
  request: Request,
  write = false,
): Promise<Response> {
  const address = served.address(name);
  const { signal } = context;
  return unaryCall({ pool: client, address, method, request, signal, timeoutMs: 10_000, write });
}

async function submit(through: string, name: string): Promise<Task> {
  const tasks = [wireFromPlain({ name, command: ['true'] })];
  const answer = await ask(through, ClusterService.submitTasks, { tasks, idempotency_key: '' }, true);
  return answer.tasks[0] as Task;
}

function stop(name: string): Promise<void> {
  return served.stop(name);
}

describe('a cluster', () => {
  it.each(['n1', 'n2', 'n3'])('answers every operation through %s', async (through) => {
    const { id } = await submit(through, 'a');
    expect(await ask(through, ClusterService.getTask, { id: id.slice(0, 9) })).toMatchObject({
      id,
      name: 'a',
    });
    const list = await ask(through, ClusterService.listTasks, ListTasksRequest.create({ name: 'a' }));
    expect(list.items.map((task) => task.id)).toEqual([id]);
    expect((await ask(through, ClusterService.listNodes, {})).items).toHaveLength(3);
    expect(await ask(through, ClusterService.getNode, { name: 'n2' })).toMatchObject({ name: 'n2' });
    expect(await ask(through, ClusterService.getCluster, { consistency: '' })).toMatchObject({
      leader: 'n1',
    });
    expect(await ask(through, ClusterService.getVersion, {})).toEqual(
      VersionInfo.create({ version: '0.1.0', name: through, node_version: process.version }),
    );
    const cancelled = await ask(through, ClusterService.cancelTask, { id, idempotency_key: '' }, true);
    expect(cancelled.status).toBe('CANCELLED');
  });

  it('passes errors on as they are', async () => {
    const tasks = [wireFromPlain({ command: [] })];
    await expect(
      ask('n3', ClusterService.submitTasks, { tasks, idempotency_key: '' }, true),
    ).rejects.toMatchObject({ code: 'invalid', faults: [{ path: 'command' }] });
    await expect(ask('n3', ClusterService.getTask, { id: 'task-zz' })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('reads output from the node that has it', async () => {
    const { id } = await submit('n3', 'a');
    cluster.assign(id, 'n2');
    cluster.report(id, 'RUNNING');
    const request = { id, follow: false, tail: undefined, stream: '', since: undefined, attempt: 0 };
    const method = ClusterService.readLogs;
    const address = served.address('n3');
    let text = '';
    for await (const { data } of streamCall({
      pool: client,
      address,
      method,
      request,
      signal: context.signal,
    })) {
      text += Buffer.from(data).toString();
    }
    expect(text).toBe('from n2');
    await stop('n2');
    cluster.execute({ type: 'nodeOffline', node: 'n2', session: cluster.session('n2'), term: cluster.term });
    const again = async (): Promise<void> => {
      for await (const _ of streamCall({ pool: client, address, method, request, signal: context.signal }));
    };
    // The attempt is LOST and the task PENDING again: its output was there.
    await expect(again()).rejects.toMatchObject({ code: 'logs_unavailable' });
  });

  it('survives its leader during a watch', async () => {
    const { id } = await submit('n2', 'a');
    const seen: string[] = [];
    const address = served.address('n2');
    const call = { pool: client, address, method: ClusterService.watchTask, request: { id } };
    for await (const task of streamCall({ ...call, signal: context.signal })) {
      seen.push(task.status);
      if (task.status === 'PENDING') {
        cluster.lead(null);
        await stop('n1');
        cluster.lead('n3');
        cluster.assign(id, 'n3');
      } else if (task.status === 'ASSIGNED') {
        cluster.report(id, 'COMPLETED');
      }
    }
    expect(seen).toEqual(['PENDING', 'ASSIGNED', 'COMPLETED']);
  });

  it('survives a leader that dies with a write in its hands', async () => {
    cluster.replica('n1').afterPropose = async () => {
      void stop('n1');
      cluster.lead('n3');
      await new Promise(() => undefined);
    };
    const { id } = await submit('n2', 'a');
    const list = await ask('n2', ClusterService.listTasks, ListTasksRequest.create());
    expect(list.items.map((task) => task.id)).toEqual([id]);
  });

  it('refuses to forward what was forwarded', async () => {
    const stale = createRemotes(client).operations(served.address('n2'));
    const error = await stale.getTask({ id: 'x' }, context).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(JarvisError);
    expect(error).toMatchObject({ code: 'no_leader' });
  });

  it('brings along how far the state is from which another node has answered what may be stale', async () => {
    const { id } = await submit('n1', 'a');
    const told: Freshness[] = [];
    const stale = { ...context, isStale: true, onFreshness: (one: Freshness) => told.push(one) };
    const remote = createRemotes(client).operations(served.address('n2'));
    expect(await remote.getTask({ id }, stale)).toMatchObject({ id });
    expect(told).toMatchObject([{ index: cluster.index }]);
  });
});
