import { setImmediate as turn } from 'node:timers/promises';

import { beforeEach, describe, expect, it } from 'vitest';

import type { ListTasksRequest, SubmitTasksRequest, Task } from '../generated/cluster.ts';
import { ListTasksRequest as ListTasksMessage } from '../generated/cluster.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { DEFAULT_POLICY } from '../model/policy.ts';
import { wireFromPlain } from '../spec/wire.ts';
import type { RoutingOperations } from './router.ts';
import { impatientClock, testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes, silentAt } from './test-remotes.test-kit.ts';

let cluster: TestCluster;
let nodes: Map<string, RoutingOperations>;
let n1: RoutingOperations;
let n2: RoutingOperations;
const context = testContext();

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2', 'n3']);
  nodes = new Map();
  for (const name of ['n1', 'n2', 'n3']) {
    const address = `${name}:7101`;
    cluster.register(name, address);
    nodes.set(address, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  n1 = nodes.get('n1:7101') as RoutingOperations;
  n2 = nodes.get('n2:7101') as RoutingOperations;
});

function submission(plain: object, key = ''): SubmitTasksRequest {
  return { tasks: [wireFromPlain({ command: ['true'], ...plain })], idempotency_key: key };
}

async function submit(plain: object = {}, key = ''): Promise<Task> {
  const { tasks } = await n1.submitTasks(submission(plain, key), context);
  return tasks[0] as Task;
}

function listing(changes: Partial<ListTasksRequest>): ListTasksRequest {
  return { ...ListTasksMessage.create(), ...changes };
}

describe('submitting', () => {
  it('refuses more tasks at once than a node can take in one turn', async () => {
    const task = wireFromPlain({ command: ['true'] });
    const tasks = Array.from({ length: limits.tasksPerSubmission + 1 }, () => task);
    const before = cluster.index;
    await expect(n1.submitTasks({ tasks, idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'too_large',
    });
    expect(cluster.index).toBe(before);
    const answer = await n1.submitTasks({ tasks: tasks.slice(1), idempotency_key: '' }, context);
    expect(answer.tasks).toHaveLength(limits.tasksPerSubmission);
  });

  it('refuses what the policy of every node with an engine forbids, before anything is proposed', async () => {
    const mounts = [{ source: '/srv', target: '/data', read_only: false }];
    const image = { image: 'python:3.9', command: [], mounts, network: 'host' };
    const early = await submit(image, 'k');
    expect(early.status_reason).toBe('no node offers a driver for images');
    const policy = { ...DEFAULT_POLICY, mounts: [{ source: '/srv', readOnly: true }] };
    cluster.register('n4', 'n4:1', { drivers: ['docker'], policy });
    cluster.register('n5', 'n5:1', { drivers: ['docker', 'process'] });
    const before = cluster.index;
    const onEvery = 'host is forbidden by policy.host_network, on every node';
    await expect(submit(image)).rejects.toMatchObject({
      code: 'invalid',
      faults: [
        { path: 'mounts[0]', message: expect.stringMatching(/allows it with read_only: true, on n4$/) },
        { path: 'network', message: onEvery },
        { path: 'mounts[0]', message: expect.stringMatching(/which allows none, on n5$/) },
      ],
    });
    const several = {
      tasks: [wireFromPlain({ command: ['true'] }), wireFromPlain({ ...image, mounts: [] })],
      idempotency_key: '',
    };
    await expect(n2.submitTasks(several, context)).rejects.toMatchObject({
      faults: [{ path: 'tasks[1].network', message: onEvery }],
    });
    expect(cluster.index).toBe(before);
    // What was accepted once is answered again, whatever the policies have become since.
    expect((await submit(image, 'k')).id).toBe(early.id);
    cluster.register('n6', 'n6:1', { drivers: ['docker'], policy: { ...policy, hostNetwork: true } });
    await expect(submit(image)).rejects.toMatchObject({ code: 'invalid' });
    expect((await submit({ ...image, mounts: [] })).status_reason).toBeUndefined();
  });

  it('refuses a user of a command that every node forbids', async () => {
    for (const name of ['n1', 'n2', 'n3', 'n4'])
      cluster.register(name, `${name}:1`, { policy: { ...DEFAULT_POLICY, users: ['app'] } });
    await expect(submit({ command: ['true'], user: 'root' })).rejects.toMatchObject({
      faults: [
        { path: 'user', message: '"root" is forbidden by policy.users, which allows app, on every node' },
      ],
    });
    const task = await submit({ command: ['true'], user: 'app', limits: { pids: 5 } });
    expect(task).toMatchObject({ user: 'app', limits: { pids: 5 } });
  });

  it('answers with the task, defaults filled in', async () => {
    const task = await submit({ name: 'a', env: { K: 'v' }, labels: { team: 'x' }, timeout: '1m' });
    expect(task).toMatchObject({
      id: expect.stringMatching(/^task-[0-9a-z]{18}$/),
      name: 'a',
      command: ['true'],
      env: { K: 'v' },
      labels: { team: 'x' },
      resources: { cpu: '100m', memory: '64Mi' },
      priority: 'normal',
      timeout: 60,
      stop_grace: 10,
      status: 'PENDING',
      attempt: 0,
      retry_count: 0,
      created_at: expect.stringMatching(/^2026-11-24T.*Z$/),
      attempts: [],
    });
  });

  it('keeps the order of several, and refuses all where one is wrong', async () => {
    const good = wireFromPlain({ name: 'a', command: ['a'] });
    const { tasks } = await n1.submitTasks(
      { tasks: [good, { ...good, name: 'b' }], idempotency_key: '' },
      context,
    );
    expect(tasks.map((task) => task.name)).toEqual(['a', 'b']);
    const before = cluster.index;
    await expect(
      n1.submitTasks({ tasks: [good, { ...good, priority: 'urgent' }], idempotency_key: '' }, context),
    ).rejects.toMatchObject({ code: 'invalid', faults: [{ path: 'tasks[1].priority' }] });
    await expect(n1.submitTasks({ tasks: [], idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'invalid',
    });
    const keyed = (key: string, max: number) => ({ ...good, concurrency: { key, max } });
    const tasks2 = [keyed('db', 3), keyed('other', 2), keyed('db', 2), keyed('db', 3)];
    await expect(n1.submitTasks({ tasks: tasks2, idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'invalid',
      faults: [{ path: 'tasks[2].concurrency.max', message: expect.stringContaining('3') }],
    });
    expect(cluster.index).toBe(before);
  });

  it('happens once per key, and refuses the key for another request', async () => {
    const first = await submit({ name: 'a' }, 'k1');
    // The same, written differently.
    const again = await submit({ name: 'a', resources: { cpu: 0.1 } }, 'k1');
    expect(again.id).toBe(first.id);
    await expect(submit({ name: 'b' }, 'k1')).rejects.toMatchObject({ code: 'idempotency_conflict' });
    await expect(submit({}, 'k\n')).rejects.toMatchObject({ code: 'invalid' });
    const { items } = await n1.listTasks(listing({}), context);
    expect(items).toHaveLength(1);
  });

  it('is bounded by what one entry takes', async () => {
    const big = wireFromPlain({ command: ['a'], env: { A: 'x'.repeat(1000 * 1000) } });
    const request = { tasks: Array.from({ length: 9 }, () => big), idempotency_key: '' };
    await expect(n1.submitTasks(request, context)).rejects.toMatchObject({ code: 'too_large' });
  });
});

describe('reading', () => {
  it('finds a task by any unambiguous prefix', async () => {
    const { id } = await submit();
    await expect(n1.getTask({ id: id.slice(0, 8) }, context)).resolves.toMatchObject({ id });
    await submit();
    await expect(n1.getTask({ id: 'task-' }, context)).rejects.toMatchObject({
      code: 'ambiguous',
      message: expect.stringContaining(id),
    });
    for (const unknown of ['task-zzzzzzzzzz', 'x', '', `${id}0`, '../x']) {
      await expect(n1.getTask({ id: unknown }, context)).rejects.toMatchObject({
        code: 'not_found',
        message: expect.stringContaining(JSON.stringify(unknown)),
      });
    }
  });

  it('shows what an attempt came to', async () => {
    const { id } = await submit({ retry_policy: { max_attempts: 1 } });
    cluster.assign(id, 'n2');
    expect(await n1.getTask({ id }, context)).toMatchObject({ status: 'ASSIGNED', node: 'n2', attempt: 1 });
    cluster.report(id, 'RUNNING');
    const error = { type: 'ExitCode', message: 'exit code 3' };
    cluster.report(id, 'FAILED', { exitCode: 3, error, logTail: 'oops' });
    expect(await n1.getTask({ id }, context)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      node: 'n2',
      exit_code: 3,
      error,
      attempts: [{ attempt: 1, node: 'n2', status: 'FAILED', exit_code: 3, error, log_tail: 'oops' }],
    });
  });

  it('lists newest first, filtered and in pages', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await submit({ name, labels: { odd: String(name < 'c') } });
    const names = async (changes: Partial<ListTasksRequest>): Promise<string[]> =>
      (await n1.listTasks(listing(changes), context)).items.map((task) => task.name);
    expect(await names({})).toEqual(['d', 'c', 'b', 'a']);
    expect(await names({ label: ['odd=true'] })).toEqual(['b', 'a']);
    expect(await names({ name: 'c' })).toEqual(['c']);
    expect(await names({ status: ['RUNNING'] })).toEqual([]);
    const first = await n1.listTasks(listing({ limit: 3 }), context);
    expect(first.items).toHaveLength(3);
    expect(await names({ cursor: first.next_cursor })).toEqual(['a']);
    cluster.assign(first.items[0]?.id ?? '', 'n3');
    expect(await names({ node: 'n3' })).toEqual(['d']);
  });

  it('refuses filters that mean nothing, all of them at once', async () => {
    const request = listing({ status: ['DONE'], label: ['x'], limit: 1001, node: '-' });
    const error = await n1.listTasks(request, context).catch((failure: unknown) => failure);
    if (!(error instanceof JarvisError)) throw error;
    expect(error.faults.map((fault) => fault.path)).toEqual(['status', 'node', 'label', 'limit']);
  });

  it('shows nodes and the cluster', async () => {
    const { id } = await submit({ resources: { cpu: 2, memory: '1Gi' } });
    cluster.assign(id, 'n1');
    const { items } = await n1.listNodes(context);
    expect(items.map((node) => node.name)).toEqual(['n1', 'n2', 'n3']);
    expect(items[0]).toMatchObject({
      role: 'voter',
      status: 'AVAILABLE',
      labels: { zone: 'a' },
      capacity: { cpu_millis: 4000 },
      allocated: { cpu_millis: 2000, memory_bytes: 2 ** 30 },
      active_tasks: 1,
      last_heartbeat_at: '2026-11-24T12:00:00.000Z',
    });
    await expect(n1.getNode({ name: 'n33' }, context)).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('did you mean n3?'),
    });
    expect(await n1.getCluster({ consistency: '' }, context)).toMatchObject({
      cluster_id: 'c-1',
      leader: 'n1',
      term: 2,
      voters: ['n1', 'n2', 'n3'],
      failure_tolerance: 1,
      members: [{ lag: 0 }, { lag: 1 }, { lag: 2 }],
      stale: false,
    });
  });

  it('shows what each member says of itself, as far as it answers', async () => {
    await expect(n1.getCluster({ consistency: 'old' }, context)).rejects.toMatchObject({
      code: 'invalid',
      faults: [{ path: 'consistency' }],
    });
    const { members, node } = await n2.getCluster({ consistency: 'linearizable' }, context);
    expect(node).toMatchObject({ name: 'n1', role: 'leader', durable_index: 17, log: { bytes: 4096 } });
    expect(members.map(({ report }) => report?.role)).toEqual(['leader', 'follower', 'follower']);
    expect(members[1]).toMatchObject({ next_index: 18, inflight: 1, last_contact_seconds: 0.02 });
    expect(members[1]).toMatchObject({ version: '0', node_status: 'AVAILABLE' });
    nodes.delete('n3:7101');
    const alone = await n1.getCluster({ consistency: '' }, context);
    expect(alone.members.map(({ report }) => report?.name)).toEqual(['n1', 'n2', undefined]);
  });

  it('shows nodes without a copy, and asks none of them what it says of a copy', async () => {
    cluster.register('w', 'w:7101');
    cluster.execute({ type: 'admitCopyless', name: 'w', incarnation: 'one-of-w', address: 'w:7101' });
    nodes.set('w:7101', {
      getCluster: () => Promise.reject(new Error('it is asked')),
    } as unknown as RoutingOperations);
    const { members, workers } = await n1.getCluster({ consistency: '' }, context);
    expect(workers).toEqual(['w']);
    expect(members[3]).toMatchObject({ name: 'w', role: 'worker', active: true, report: undefined });
  });

  it('shows what a node knows by itself, also without a leader', async () => {
    cluster.lead(null);
    const stale = await n2.getCluster({ consistency: 'stale' }, context);
    expect(stale).toMatchObject({ cluster_id: 'c-1', leader: '', stale: true, node: { name: 'n2' } });
    expect(stale.failure_tolerance).toBeUndefined();
    expect(stale.members[0]).toMatchObject({ state: 'unknown', active: true, last_contact_seconds: 0.02 });
    expect(stale.members[0]?.lag).toBeUndefined();
  });

  it('asks no more where that has no use for a while', async () => {
    const node = testOperations(cluster, 'n2', {
      remotes: inProcessRemotes(nodes),
      clock: new VirtualClock(),
    });
    let asked = 0;
    cluster.replica('n1').propose = () => {
      asked += 1;
      return Promise.reject(new JarvisError('unavailable', 'not yet', { retryAfterMs: 60_000 }));
    };
    const request = { name: 'n1', idempotency_key: '' };
    await expect(node.cordonNode(request, context)).rejects.toMatchObject({ message: 'not yet' });
    expect(asked).toBe(1);
  });

  it('says sooner than for other requests that there is no leader, or that it does not answer', async () => {
    const clock = new VirtualClock();
    const node = testOperations(cluster, 'n2', { remotes: inProcessRemotes(nodes), clock });
    const failure = async (): Promise<unknown> =>
      node.getCluster({ consistency: '' }, context).catch((error: unknown) => error);
    cluster.lead(null);
    const without = failure();
    await clock.advance(limits.statusLeaderWaitMs);
    expect(await without).toMatchObject({ code: 'no_leader' });
    cluster.lead('n1');
    cluster.replica('n1').readBarrier = () => new Promise(() => {});
    const stuck = failure();
    await clock.advance(limits.statusTimeoutMs);
    expect(await stuck).toMatchObject({ code: 'unavailable', message: 'the leader does not answer' });
  });
});

describe('cancelling', () => {
  it('ends what waits at once, and what runs when its node says so', async () => {
    const { id } = await submit();
    expect(await n1.cancelTask({ id: id.slice(0, 9), idempotency_key: '' }, context)).toMatchObject({
      id,
      status: 'CANCELLED',
    });
    const running = await submit();
    cluster.assign(running.id, 'n2');
    expect(await n1.cancelTask({ id: running.id, idempotency_key: '' }, context)).toMatchObject({
      status: 'ASSIGNED',
      status_reason: 'stopping',
    });
  });

  it('of what is over is a conflict', async () => {
    const { id } = await submit();
    cluster.assign(id, 'n2');
    cluster.report(id, 'COMPLETED');
    await expect(n1.cancelTask({ id, idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'conflict',
    });
  });
});

describe('watching', () => {
  it('yields the task now and after each change, until it is over', async () => {
    const { id } = await submit();
    const seen: string[] = [];
    for await (const task of n1.watchTask({ id: id.slice(0, 9) }, context)) {
      seen.push(task.status);
      if (task.status === 'PENDING') cluster.assign(id, 'n2');
      else if (task.status === 'ASSIGNED') cluster.report(id, 'RUNNING');
      else if (task.status === 'RUNNING') cluster.report(id, 'COMPLETED');
    }
    expect(seen).toEqual(['PENDING', 'ASSIGNED', 'RUNNING', 'COMPLETED']);
  });

  it('goes on after a change of leader, without telling anything twice', async () => {
    const { id } = await submit();
    const seen: string[] = [];
    for await (const task of n2.watchTask({ id }, context)) {
      seen.push(task.status);
      if (task.status === 'PENDING') {
        cluster.lead(null);
        cluster.lead('n3');
        setImmediate(() => cluster.assign(id, 'n1'));
      } else if (task.status === 'ASSIGNED') {
        cluster.lead('n2');
        setImmediate(() => cluster.report(id, 'COMPLETED'));
      }
    }
    expect(seen).toEqual(['PENDING', 'ASSIGNED', 'COMPLETED']);
  });

  it('ends with its caller', async () => {
    const { id } = await submit();
    const controller = new AbortController();
    const watching = async (): Promise<void> => {
      for await (const task of n1.watchTask({ id }, testContext({ signal: controller.signal }))) {
        expect(task.status).toBe('PENDING');
        setImmediate(() => controller.abort());
      }
    };
    await expect(watching()).rejects.toMatchObject({ code: 'timeout' });
  });
});

describe('routing', () => {
  it('answers the same through every node', async () => {
    const { tasks } = await n2.submitTasks(submission({ name: 'a' }), context);
    const id = tasks[0]?.id ?? '';
    for (const node of nodes.values()) {
      expect(await node.getTask({ id }, context)).toMatchObject({ name: 'a' });
      expect(await node.getCluster({ consistency: '' }, context)).toMatchObject({ leader: 'n1' });
    }
    await expect(n2.getTask({ id: 'task-zzzz' }, context)).rejects.toMatchObject({ code: 'not_found' });
    expect(n2.version()).toMatchObject({ name: 'n2' });
  });

  it('never sends a forwarded request on', async () => {
    await expect(n2.getTask({ id: 'x' }, testContext({ forwarded: true }))).rejects.toMatchObject({
      code: 'no_leader',
    });
  });

  it('waits for a leader', async () => {
    cluster.lead(null);
    const submitted = n2.submitTasks(submission({}), context);
    setImmediate(() => cluster.lead('n3'));
    await expect(submitted).resolves.toMatchObject({ tasks: [{ status: 'PENDING' }] });
  });

  it('gives up after a while where there is none', async () => {
    cluster.lead(null);
    const clock = impatientClock();
    const node = testOperations(cluster, 'n2', { remotes: inProcessRemotes(nodes), clock });
    await expect(node.submitTasks(submission({}), context)).rejects.toMatchObject({ code: 'no_leader' });
    await expect(node.getTask({ id: 'x' }, context)).rejects.toMatchObject({ code: 'no_leader' });
    expect(clock.monotonicMs()).toBeLessThanOrEqual(2 * limits.routeTimeoutMs);
  });

  it('says that an outcome is unknown where it never learns it', async () => {
    cluster.replica('n1').afterPropose = async () => {
      cluster.lead(null);
      throw new JarvisError('outcome_unknown', 'leadership was lost');
    };
    const node = testOperations(cluster, 'n1', { remotes: inProcessRemotes(nodes), clock: impatientClock() });
    await expect(node.submitTasks(submission({}), context)).rejects.toMatchObject({
      code: 'outcome_unknown',
      message: expect.stringContaining('not known whether'),
    });
  });

  it('stops waiting with its caller', async () => {
    cluster.lead(null);
    const signal = AbortSignal.timeout(50);
    await expect(n2.getTask({ id: 'x' }, testContext({ signal }))).rejects.toMatchObject({ code: 'timeout' });
  });

  it('sends a write whose outcome is unknown again, and it happens once', async () => {
    cluster.replica('n1').afterPropose = async () => {
      cluster.lead('n3');
      throw new JarvisError('outcome_unknown', 'leadership was lost');
    };
    await expect(n2.submitTasks(submission({ name: 'once' }), context)).resolves.toMatchObject({
      tasks: [{ name: 'once' }],
    });
    const { items } = await n2.listTasks(listing({}), context);
    expect(items).toHaveLength(1);
  });

  it('gives up a leader that is silent as soon as another one leads, and the write happens once', async () => {
    // Time stands still: nothing may wait for a deadline.
    const clock: Clock = { ...systemClock, after: () => () => undefined };
    const remotes = silentAt('n1:7101', inProcessRemotes(nodes));
    const node = testOperations(cluster, 'n2', { remotes, clock });
    const { id } = await submit();
    const written = node.submitTasks(submission({ name: 'once' }), context);
    const read = node.getTask({ id }, context);
    await turn();
    cluster.lead(null);
    cluster.lead('n3');
    await expect(written).resolves.toMatchObject({ tasks: [{ name: 'once' }] });
    await expect(read).resolves.toMatchObject({ id });
  });

  it('waits, also for another node, where this one was elected and is about to lead', async () => {
    const { id } = await submit();
    cluster.replica('n3').isOnlyElected = true;
    cluster.lead('n3');
    const asked = nodes.get('n3:7101')?.getTask({ id }, testContext({ forwarded: true }));
    await turn();
    cluster.replica('n3').isOnlyElected = false;
    cluster.replica('n3').announce();
    await expect(asked).resolves.toMatchObject({ id });
  });

  it('sends a write that a past leader refused to the present one', async () => {
    cluster.replica('n1').beforePropose = async () => cluster.lead('n3');
    await expect(n1.submitTasks(submission({}), context)).resolves.toMatchObject({ tasks: [{}] });
  });

  it('says that an outcome is unknown where the caller goes first', async () => {
    const controller = new AbortController();
    cluster.replica('n1').beforePropose = () => {
      controller.abort();
      return new Promise(() => undefined);
    };
    await expect(
      n1.submitTasks(submission({}), testContext({ signal: controller.signal })),
    ).rejects.toMatchObject({ code: 'outcome_unknown' });
  });
});
