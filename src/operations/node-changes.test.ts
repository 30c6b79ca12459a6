import { beforeEach, describe, expect, it } from 'vitest';

import type { DrainNodeRequest } from '../generated/cluster.ts';
import { wireFromPlain } from '../spec/wire.ts';
import type { RoutingOperations } from './router.ts';
import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

const context = testContext();
let cluster: TestCluster;
/** One that does not lead. */
let n2: RoutingOperations;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  const nodes = new Map<string, RoutingOperations>();
  for (const name of ['n1', 'n2']) {
    const address = `${name}:7101`;
    cluster.register(name, address);
    nodes.set(address, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  n2 = nodes.get('n2:7101') as RoutingOperations;
});

function drain(changes: Partial<DrainNodeRequest> = {}) {
  const request = { name: 'n1', deadline: undefined, grace: undefined, idempotency_key: '', start_id: '' };
  return n2.drainNode({ ...request, ...changes }, context);
}

function label(labels: Record<string, string>, removed: string[] = []) {
  return n2.labelNode({ name: 'n1', idempotency_key: '', labels, remove_labels: removed }, context);
}

function remove() {
  return n2.removeNode({ name: 'n1', dead: false, idempotency_key: '' }, context);
}

function drained(): void {
  const index = cluster.state.nodes.get('n1')?.drain?.index ?? 0;
  cluster.execute({ type: 'nodeDrained', term: cluster.term, node: 'n1', drain: index });
}

async function runningOn(name: string): Promise<string> {
  const task = wireFromPlain({ command: ['true'] });
  const { tasks } = await n2.submitTasks({ tasks: [task], idempotency_key: '' }, context);
  const id = tasks[0]?.id ?? '';
  cluster.assign(id, name);
  cluster.report(id, 'RUNNING');
  return id;
}

describe('a drain that is asked for at any node', () => {
  it('shows what is left, and until when', async () => {
    await runningOn('n1');
    const { node, warnings } = await drain({ deadline: '90m', grace: '5' });
    expect(warnings).toEqual([]);
    expect(node).toMatchObject({
      status: 'DRAINING',
      schedulable: false,
      drain: {
        deadline: new Date(cluster.nowMs + 5_400_000).toISOString(),
        grace: 5,
        overdue: false,
        tasks_left: 1,
        finished_at: undefined,
        on_exit: false,
      },
    });
    expect(await n2.getNode({ name: 'n1' }, context)).toEqual(node);
  });

  it('has an hour where nothing else is said, and ends with an undrain', async () => {
    const { node } = await drain();
    expect(node?.drain?.deadline).toBe(new Date(cluster.nowMs + 3_600_000).toISOString());
    const undrained = await n2.undrainNode({ name: 'n1', idempotency_key: '' }, context);
    expect(undrained.node).toMatchObject({ status: 'AVAILABLE', schedulable: true, drain: undefined });
  });

  it('of the last node that takes work is carried out, with a warning; explain and plan name the filter', async () => {
    await n2.cordonNode({ name: 'n2', idempotency_key: '' }, context);
    const { warnings } = await drain();
    expect(warnings).toEqual([
      'no node takes new work now: what is pending, and what is moved, waits until one does',
    ]);
    const task = wireFromPlain({ command: ['true'] });
    const { tasks } = await n2.submitTasks({ tasks: [task], idempotency_key: '' }, context);
    const { reasons } = await n2.explainTask({ id: tasks[0]?.id ?? '' }, context);
    expect(reasons).toEqual([{ filter: 'drain', excluded: 2, nearest_miss: 'node n1 is DRAINING' }]);
    const plan = await n2.planTasks({ tasks: [task], batches: [], dags: [] }, context);
    expect(plan.items).toMatchObject([{ node: undefined, reasons: [{ filter: 'drain' }] }]);
  });

  it.each<[Partial<DrainNodeRequest>, string, RegExp]>([
    [{ deadline: 'soon' }, 'invalid', /deadline: .*"soon".*1h30m/],
    [{ deadline: '-1' }, 'invalid', /deadline/],
    [{ deadline: '31d' }, 'invalid', /deadline: "31d" is too long: at most 30d/],
    [{ grace: '2h' }, 'invalid', /grace: "2h" is too long: at most 1h/],
    [{ name: 'n3' }, 'not_found', /there is no node "n3"/],
    [{ name: '../../etc/passwd' }, 'not_found', /there is no node "..\/..\/etc\/passwd"/],
    [{ name: '' }, 'not_found', /there is no node ""/],
  ])('with %j is refused', async (changes, code, message) => {
    await expect(drain(changes)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('of a node that is OFFLINE is refused, and says what is allowed', async () => {
    const session = cluster.session('n1');
    cluster.execute({ type: 'nodeOffline', term: cluster.term, node: 'n1', session });
    await expect(drain()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('allowed: cordon it'),
    });
  });

  it('is carried out once per key', async () => {
    const { node } = await drain({ idempotency_key: 'k' });
    cluster.nowMs += 60_000;
    expect((await drain({ idempotency_key: 'k' })).node?.drain?.deadline).toBe(node?.drain?.deadline);
    await expect(drain({ idempotency_key: 'k', deadline: '5m' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
  });
});

describe('labels', () => {
  it('are set and taken away', async () => {
    expect((await label({ ssd: '' }, ['zone'])).node?.labels).toEqual({ ssd: '' });
  });

  it.each<[Record<string, string>, string[], RegExp]>([
    [{}, [], /nothing is to be changed/],
    [{ 'a b': 'x' }, [], /"a b" is not a name/],
    [{}, ['../x'], /"..\/x" is not a name/],
    [{ a: 'x'.repeat(257) }, [], /256/],
    [{ a: '1' }, ['a'], /"a" is both set and taken away/],
    [Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, ''])), [], /at most 64/],
  ])('refuses %j, %j', async (labels, removed, message) => {
    await expect(label(labels, removed)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(message),
    });
  });
});

describe('removing a node that is DRAINED', () => {
  it('is refused while its daemon runs, and says what ends that', async () => {
    await drain();
    drained();
    cluster.silentMs.set('n1', 1000);
    await expect(remove()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/its daemon runs: it was heard of 1 s ago.*cluster remove n1.*4 s/),
    });
    cluster.silentMs.set('n1', 4000);
    expect(await remove()).toMatchObject({ name: 'n1', lost_attempts: 0 });
  });

  it('is refused while it is DRAINING, whatever is heard of it', async () => {
    await drain();
    cluster.silentMs.set('n1', 9000);
    await expect(remove()).rejects.toMatchObject({ message: expect.stringContaining('it is DRAINING') });
  });
});
