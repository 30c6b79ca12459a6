/** `jarvisctl node cordon|drain|undrain|label`, and `remove --drain`. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Drain, Member, Node } from '../../generated/cluster.ts';
import type { CordonNodeRequest } from '../../generated/cluster.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: readonly string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
  const capacity = { cpu_millis: 4000, memory_bytes: 2 ** 30 };
  const node = { status: 'AVAILABLE', schedulable: true, role: 'worker', capacity, allocated: capacity };
  cluster.nodes = ['n1', 'n2'].map((name) => Node.create({ name, ...node }));
});

afterEach(() => cluster.stop());

function run(...args: readonly string[]) {
  return runInProcess(['node', ...args, ...peer]);
}

function sent(method: string): unknown {
  return cluster.calls.find((call) => call.method === method)?.request;
}

function drainOf(tasksLeft: number, more: Partial<Drain> = {}): Drain {
  const deadline = new Date(Date.now() + 3_630_000).toISOString();
  return Drain.create({ deadline, tasks_left: tasksLeft, ...more });
}

const DONE = { finished_at: '2026-11-24T00:00:00.000Z' };

describe('node cordon and undrain', () => {
  it('take several nodes, and show them as they are then', async () => {
    const cordoned = await run('cordon', 'n1', 'n2');
    expect(cordoned.stdout).toMatch(/n1 +AVAILABLE,CORDONED[^]*n2 +AVAILABLE,CORDONED/);
    expect(cordoned).toMatchObject({ stderr: '', status: 0 });
    // The same key for two nodes would be the same request for something else.
    const keys = cluster.calls.map(({ request }) => (request as CordonNodeRequest).idempotency_key);
    expect(new Set(keys).size).toBe(2);
    expect((await run('undrain', 'n1', '-o', 'json')).stdout).toContain('"schedulable": true');
    expect(await run('cordon', 'n9')).toMatchObject({ status: 1, stderr: expect.stringContaining('"n9"') });
  });

  it('warn where nobody takes work any more', async () => {
    cluster.warnings = ['no node takes new work now'];
    expect((await run('cordon', 'n1', 'n2')).stderr).toBe('jarvisctl: no node takes new work now\n');
  });
});

describe('node drain', () => {
  it('waits until nothing is left, with a line for each step where it is not on a terminal', async () => {
    cluster.drains = [
      drainOf(2),
      drainOf(2),
      drainOf(1),
      drainOf(1, { overdue: true }),
      drainOf(0, { overdue: true }),
      drainOf(0, { overdue: true, ...DONE }),
    ];
    const { stdout, stderr, status } = await run('drain', 'n1', '--deadline', '90m', '--grace', '5');
    expect(status).toBe(0);
    expect(stderr.split('\n')).toEqual([
      'jarvisctl: node n1: 2 tasks left, stopped and moved in 60m',
      'jarvisctl: node n1: 1 task left, stopped and moved in 60m',
      'jarvisctl: node n1: 1 task left, being stopped and moved',
      'jarvisctl: node n1 is empty, its logs are handed over',
      '',
    ]);
    expect(stdout).toMatch(/n1 +DRAINED /);
    expect(sent('drainNode')).toEqual({
      name: 'n1',
      idempotency_key: expect.stringMatching(/^[0-9a-f-]{36}$/),
      deadline: '1h30m',
      grace: '5s',
      start_id: '',
    });
  });

  it('only begins it with --no-wait', async () => {
    cluster.drains = [drainOf(3)];
    const { stdout, stderr, status } = await run('drain', 'n1', '--no-wait', '-o', 'json');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(JSON.parse(stdout)).toMatchObject({ status: 'DRAINING', drain: { tasks_left: 3, grace: null } });
    expect(cluster.calls.some(({ method }) => method === 'getNode')).toBe(false);
  });

  it('gives up waiting after --timeout, with 124, and the drain goes on', async () => {
    cluster.drains = [drainOf(1)];
    const { stderr, status } = await run('drain', 'n1', '--timeout', '0.2');
    expect(status).toBe(124);
    expect(stderr).toContain('node n1 is not drained yet; the drain goes on');
  });

  it('says that somebody has ended the drain', async () => {
    cluster.drains = [];
    expect(await run('drain', 'n1')).toMatchObject({
      status: 1,
      stderr: 'jarvisctl: node n1: somebody has ended the drain\n',
    });
  });

  it.each([
    [['drain'], /missing required argument/],
    [['drain', 'n1', '--deadline', 'soon'], /Allowed: seconds/],
    [['drain', 'n1', '--no-wait', '--timeout', '1m'], /exclude each other/],
    [['drain', 'n9'], /there is no node "n9"/],
    [['remove', 'n1', '--deadline', '1m'], /go with --drain only/],
    [['remove', 'n1', '--dead', '--drain'], /exclude each other/],
    [['label', 'n1'], /missing required argument/],
    [['label', 'n1', 'zone'], /"zone" is no label; allowed: key=value to set it, key- to take it away/],
    [['label', 'n1', '=b'], /"=b" is no label/],
  ])('refuses %j', async (args, message) => {
    const { stderr, status } = await run(...args);
    expect(stderr).toMatch(message);
    expect(status).not.toBe(0);
  });
});

describe('node label', () => {
  it('sets labels and takes them away', async () => {
    const { stdout, status } = await run('label', 'n1', 'zone=b', 'note=a=b', 'ssd-', '-o', 'wide');
    expect(status).toBe(0);
    expect(stdout).toContain('zone=b');
    expect(sent('labelNode')).toMatchObject({ labels: { zone: 'b', note: 'a=b' }, remove_labels: ['ssd'] });
  });
});

function votersAre(active: Readonly<Record<string, boolean>>): void {
  cluster.nodes = cluster.nodes.map((node) => ({ ...node, role: 'voter' }));
  const members = Object.entries(active).map(([name, answers]) =>
    Member.create({ name, role: 'voter', active: answers }),
  );
  cluster.status = { ...cluster.status, members };
}

const ANOTHER_VOTER = Member.create({ name: 'n2', role: 'voter', active: true });

describe('node remove --drain', () => {
  it('ends no membership of a node that is not let in any more', async () => {
    cluster.status = { ...cluster.status, members: [ANOTHER_VOTER] };
    cluster.drains = [drainOf(0, DONE)];
    expect(await run('remove', 'n1', '--drain', '--deadline', '0')).toMatchObject({ status: 0, stderr: '' });
    expect(sent('changeMember')).toBeUndefined();
    expect(sent('removeNode')).toMatchObject({ name: 'n1' });
  });

  it.each(['voter', 'worker'])('drains a %s, ends its membership and takes it off the list', async (role) => {
    cluster.nodes = cluster.nodes.map((node) => ({ ...node, role }));
    cluster.status = { ...cluster.status, members: [Member.create({ name: 'n1', role }), ANOTHER_VOTER] };
    cluster.drains = [drainOf(1), drainOf(0, DONE)];
    const { stdout, stderr, status } = await run('remove', 'n1', '--drain', '--deadline', '0');
    expect({ stderr, status }).toEqual({
      stderr: 'jarvisctl: node n1 has left the cluster, and its daemon ends\n',
      status: 0,
    });
    expect(stdout).toMatch(/n1 +0 +no/);
    expect(sent('drainNode')).toMatchObject({ deadline: '0s' });
    expect(sent('changeMember')).toMatchObject({ action: 'remove', name: 'n1' });
    expect(sent('removeNode')).toMatchObject({ name: 'n1', dead: false });
  });

  it.each([
    [
      { n1: true, n2: true, n3: false },
      /n1 is not drained: too few .* that answer: n2, n3 \(does not answer\)$/m,
    ],
    [{ n1: true }, /n1 is not drained: it is the only voter, and cannot leave$/m],
  ])('does not begin where of the voters %j too few would be left', async (active, message) => {
    votersAre(active);
    expect(await run('remove', 'n1', '--drain')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(message),
    });
    expect(sent('drainNode')).toBeUndefined();
  });

  it('lets a voter go that does not answer, or one of which there are enough', async () => {
    votersAre({ n1: false, n2: true, n3: true });
    cluster.drains = [drainOf(0, DONE)];
    expect((await run('remove', 'n1', '--drain', '--deadline', '0')).status).toBe(0);
  });
});
