import { beforeEach, describe, expect, it } from 'vitest';

import { wireFromPlain } from '../spec/wire.ts';
import type { RoutingOperations } from './router.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

const HEARD_AT = '2026-11-24T12:00:00.000Z';
const context = testContext();
let cluster: TestCluster;
/** One that does not lead. */
let n2: RoutingOperations;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2', 'w']) {
    const address = `${name}:7101`;
    cluster.register(name, address);
    if (name !== 'w') nodes.set(address, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  n2 = nodes.get('n2:7101') as RoutingOperations;
});

function remove(name: string, dead = false, key = '') {
  return n2.removeNode({ name, dead, idempotency_key: key }, context);
}

function offline(name: string): void {
  cluster.execute({ type: 'nodeOffline', term: cluster.term, node: name, session: cluster.session(name) });
}

async function runningOn(name: string, onNodeLoss: string): Promise<string> {
  const task = wireFromPlain({ command: ['true'], on_node_loss: onNodeLoss });
  const { tasks } = await n2.submitTasks({ tasks: [task], idempotency_key: '' }, context);
  const id = tasks[0]?.id ?? '';
  cluster.assign(id, name);
  cluster.report(id, 'RUNNING');
  return id;
}

describe('removing a node', () => {
  it('that still answers is refused even to somebody who calls it dead, with when it was heard of', async () => {
    const id = await runningOn('w', 'wait');
    cluster.silentMs.set('w', 1230);
    await expect(remove('w', true)).rejects.toMatchObject({
      code: 'conflict',
      message: `node w still answers: it was heard of 1.2 s ago, at ${HEARD_AT}; it can be called dead once it has been silent for 10 s`,
    });
    expect(await n2.getTask({ id }, context)).toMatchObject({ status: 'RUNNING', node: 'w' });
  });

  it('that is called dead moves what is on it, before it is OFFLINE, and says who vouched', async () => {
    const id = await runningOn('w', 'wait');
    cluster.silentMs.set('w', 10_000);
    expect(await remove('w', true)).toEqual({ name: 'w', lost_attempts: 1, member: undefined });
    const task = await n2.getTask({ id }, context);
    expect(task).toMatchObject({ status: 'PENDING', status_reason: 'rescheduling', on_node_loss: 'wait' });
    expect(task.attempts).toMatchObject([
      { status: 'LOST', error: { type: 'NodeLost', message: expect.stringContaining('anonymous vouched') } },
    ]);
    await expect(n2.getNode({ name: 'w' }, context)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('without that word is refused while something stands against it, and names that', async () => {
    const id = await runningOn('w', 'wait');
    await expect(remove('w')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/it is AVAILABLE.*; 1 task is on it \(task-.*--dead/),
    });
    offline('w');
    await expect(remove('w')).rejects.toMatchObject({ code: 'conflict' });
    cluster.report(id, 'COMPLETED');
    expect(await remove('w')).toMatchObject({ lost_attempts: 0 });
  });

  it('that works without a copy, while its daemon runs, says what ends that', async () => {
    cluster.execute({ type: 'admitCopyless', name: 'w', incarnation: 'w', address: 'w:7101' });
    const asked = { node: 'w', withinMs: 1000, graceMs: null, startId: null, idempotency: null } as const;
    cluster.execute({ type: 'drainNode', ...asked });
    const drain = cluster.state.nodes.get('w')?.drain?.index ?? 0;
    cluster.execute({ type: 'nodeDrained', term: cluster.term, node: 'w', drain });
    cluster.silentMs.set('w', 1000);
    await expect(remove('w')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('end its membership (cluster remove w)') as string,
    });
  });

  it('that is OFFLINE needs nobody to have listened for long', async () => {
    offline('w');
    expect(await remove('w', true)).toMatchObject({ name: 'w' });
  });

  it('says that it is a member still', async () => {
    offline('n2');
    expect(await remove('n2')).toEqual({ name: 'n2', lost_attempts: 0, member: 'voter' });
  });

  it('says that it is let in still, without a copy', async () => {
    cluster.execute({ type: 'admitCopyless', name: 'w', incarnation: 'one-of-w', address: 'w:7101' });
    expect((await n2.getNode({ name: 'w' }, context)).role).toBe('worker');
    offline('w');
    expect(await remove('w')).toEqual({ name: 'w', lost_attempts: 0, member: 'worker' });
  });

  it('answers a repeated request as the first time, though the node is gone', async () => {
    offline('w');
    const answer = await remove('w', false, 'k');
    expect(await remove('w', false, 'k')).toEqual(answer);
    await expect(remove('w', true, 'k')).rejects.toMatchObject({ code: 'idempotency_conflict' });
    await expect(remove('w')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of no such name names what may have been meant', async () => {
    await expect(remove('n22')).rejects.toMatchObject({
      code: 'not_found',
      message: 'there is no node "n22"; did you mean n2?',
    });
  });
});
