/** What nodes and tasks use, in every command that shows it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { AttemptUsage, Node, NodeUsage } from '../../generated/cluster.ts';
import { Usage } from '../../generated/worker.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

const GIB = 2 ** 30;
const AT = '2026-11-24T00:00:00Z';
let cluster: FakeCluster;
let peer: string[];

function attempt(id: string, cores: number, fields: Partial<AttemptUsage> = {}): AttemptUsage {
  return AttemptUsage.create({ task_id: id, driver: 'process', sampled_at: AT, cpu_cores: cores, ...fields });
}

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
  cluster.nodes = ['n1', 'n2', 'n3'].map((name) =>
    Node.create({ name, status: name === 'n3' ? 'OFFLINE' : 'AVAILABLE' }),
  );
  for (const [id, node] of [
    ['task-a', 'n1'],
    ['task-b', 'n2'],
  ] as const)
    cluster.setTask(fakeTask({ id, name: `job-${id}`, status: 'RUNNING', node }));
  const usage = Usage.create({
    cpu_percent: 12.4,
    memory_bytes: GIB,
    memory_size_bytes: 4 * GIB,
    disk_bytes: 3 * GIB,
    disk_size_bytes: 4 * GIB,
    network_receive_bytes_per_second: 2048,
  });
  const history = [0, 100].map((percent) => ({
    at: AT,
    cpu_percent: percent,
    memory_bytes: GIB,
    disk_bytes: 3 * GIB,
    network_receive_bytes_per_second: 1,
    network_transmit_bytes_per_second: 0,
  }));
  const measured = [
    attempt('task-a', 0.5, {
      memory_bytes: GIB,
      memory_limit_bytes: 2 * GIB,
      pids: 3,
      read_bytes_per_second: 1024,
      history: [0.1, 0.5].map((cores) => ({ at: AT, cpu_cores: cores, memory_bytes: 2 * GIB })),
    }),
  ];
  cluster.usage.set(
    'n1',
    NodeUsage.create({ node: 'n1', usage, history, attempts: measured, attempts_total: 2 }),
  );
  cluster.usage.set(
    'n2',
    NodeUsage.create({ node: 'n2', attempts: [attempt('task-b', 1.25)], attempts_total: 1 }),
  );
});
afterEach(() => cluster.stop());

describe('node get', () => {
  it('shows what the node uses, of what it has, and how that went', async () => {
    const { stdout, status } = await runInProcess(['node', 'get', 'n1', ...peer]);
    expect(status).toBe(0);
    expect(stdout.split('\n').slice(3)).toEqual([
      'n1 uses:',
      '  Cpu:        12%         ▁█',
      '  Memory:     1Gi of 4Gi  ▃▃',
      '  Disk:       3Gi of 4Gi  ▇▇',
      '  Receives:   2Ki/s       ██',
      '  Transmits:  0/s         ▁▁',
      '',
    ]);
  });

  it('says why it is not known, and asks none that is OFFLINE', async () => {
    cluster.before = ({ method }) => {
      if (method === 'getNodeUsage') throw new JarvisError('internal', 'it is broken');
    };
    const { stdout, status } = await runInProcess(['node', 'get', 'n1', 'n3', ...peer]);
    expect(status).toBe(0);
    expect(stdout).toContain('\nwhat n1 uses is not known: it is broken\n');
    expect(stdout).toContain('\nwhat n3 uses is not known: it is OFFLINE\n');
    expect(cluster.calls.filter(({ method }) => method === 'getNodeUsage')).toHaveLength(1);
  });

  it('adds nothing to what programs read', async () => {
    const { stdout } = await runInProcess(['node', 'get', 'n1', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'n1' });
    expect(cluster.calls.map(({ method }) => method)).not.toContain('getNodeUsage');
  });
});

describe('a description', () => {
  it('shows what the running attempt uses', async () => {
    const { stdout } = await runInProcess(['describe', 'task-a', ...peer]);
    const lines = stdout.split('\n');
    const at = lines.indexOf('Uses:');
    expect(lines.slice(at + 1, at + 5)).toEqual([
      '  Cpu:     0.5 cores   ▂█',
      '  Memory:  1Gi of 2Gi  ██',
      '  Pids:    3',
      '  Reads:   1Ki/s',
    ]);
  });

  it('asks nothing about a task that does not run', async () => {
    cluster.setTask(fakeTask({ id: 'task-c', status: 'COMPLETED' }));
    const { stdout } = await runInProcess(['describe', 'task-c', ...peer]);
    expect(stdout).not.toContain('Uses:');
    expect(cluster.calls.map(({ method }) => method)).not.toContain('getTaskUsage');
  });
});

describe('top --tasks', () => {
  it('shows the most demanding tasks of all nodes', async () => {
    const { stdout } = await runInProcess(['top', '--tasks', ...peer]);
    const lines = stdout.split('\n');
    const at = lines.findIndex((line) => line.startsWith('ID'));
    expect(lines[at + 1]).toMatch(/^task-b +job-task-b +n2 +1\.25 cores +- /);
    expect(lines[at + 2]).toMatch(/^task-a +job-task-a +n1 +0\.5 cores +1Gi +2Gi +3 +1Ki\/s +-$/);
    // n1 has one more than it was asked for.
    expect(stdout).toContain('more run: ');
  });

  it('says the same in JSON', async () => {
    const { stdout } = await runInProcess(['top', '--tasks', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toMatchObject({
      nodes: { items: { length: 3 } },
      attempts: [
        { task_id: 'task-b', node: 'n2', cpu_cores: 1.25, memory_bytes: null },
        { task_id: 'task-a', node: 'n1', pids: 3 },
      ],
      are_more: true,
    });
  });
});
