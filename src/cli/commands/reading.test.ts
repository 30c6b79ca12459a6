import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { Node } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster, fakeAttempt, fakeTask } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

function submitTasks(count: number): void {
  for (let index = 1; index <= count; index += 1)
    cluster.setTask(fakeTask({ id: `task-${index}aaaaaaaaaaaa`, name: `job-${index}`, status: 'RUNNING' }));
}

describe('ls', () => {
  it('prints a table without borders or colours', async () => {
    cluster.setTask(
      fakeTask({ id: 'task-1', name: 'one', status: 'COMPLETED', node: 'n2', exit_code: 0, attempt: 1 }),
    );
    cluster.setTask(fakeTask({ id: 'task-22', name: 'two', status: 'PENDING' }));
    const { stdout, stderr, status } = await runInProcess(['ls', ...peer]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^ID {8}NAME {3}STATUS {6}NODE {3}ATTEMPT {3}EXIT {3}AGE$/);
    expect(lines[1]).toMatch(/^task-1 {4}one {4}COMPLETED {3}n2 {5}1\/1 {7}0 {6}\S+$/);
    expect(lines[2]).toMatch(/^task-22 {3}two {4}PENDING {5}- {6}0\/1 {7}- {6}\S+$/);
    expect(lines.slice(3)).toEqual(['']);
  });

  it('shows control characters instead of sending them to the terminal', async () => {
    cluster.setTask(fakeTask({ name: 'evil\u001b[2J' }));
    const { stdout } = await runInProcess(['ls', ...peer]);
    expect(stdout).toContain('evil\\x1b[2J');
  });

  it('says on stderr that there is nothing, and lists nothing on stdout', async () => {
    expect(await runInProcess(['ls', ...peer])).toEqual({
      stdout: '',
      stderr: 'no tasks found\n',
      status: 0,
    });
  });

  it('goes through all pages', async () => {
    submitTasks(1201);
    const { stdout } = await runInProcess(['ls', '-o', 'name', ...peer]);
    expect(stdout.split('\n')).toHaveLength(1202);
    expect(cluster.requests<{ cursor: string }>('listTasks').map(({ cursor }) => cursor)).toEqual([
      '',
      '500',
      '1000',
    ]);
  });

  it('stops at the limit and says in JSON where the list goes on', async () => {
    submitTasks(5);
    const { stdout } = await runInProcess(['ls', '-o', 'json', '--limit', '2', ...peer]);
    const list = JSON.parse(stdout) as { items: { name: string }[]; next_cursor: string | null };
    expect(list.items.map(({ name }) => name)).toEqual(['job-1', 'job-2']);
    expect(list.next_cursor).toBe('2');
  });

  it('sends the filters', async () => {
    const flags = [
      '-l',
      'team=data',
      '-l',
      'x=a=b',
      '--status',
      'running,pending',
      '--node',
      'n1',
      '--name',
      'job',
    ];
    await runInProcess(['ls', ...flags, ...peer]);
    expect(cluster.requests('listTasks')).toEqual([
      {
        status: ['RUNNING', 'PENDING'],
        node: 'n1',
        name: 'job',
        label: ['team=data', 'x=a=b'],
        limit: 500,
        cursor: '',
      },
    ]);
  });
});

describe('get', () => {
  it('prints JSON as the HTTP API does: null for absent, the result as the value it is', async () => {
    cluster.setTask(
      fakeTask({ id: 'task-1', status: 'COMPLETED', result: '{"a":[1]}', attempts: [fakeAttempt({})] }),
    );
    const { stdout, status } = await runInProcess(['get', 'task-1', '-o', 'json', ...peer]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      id: 'task-1',
      result: { a: [1] },
      node: null,
      working_dir: null,
      timeout: null,
      error: null,
      attempts: [{ attempt: 1, exit_code: null, finished_at: null }],
    });
  });

  it('prints several as a list', async () => {
    submitTasks(2);
    const { stdout } = await runInProcess(['get', 'task-1', 'task-2', '-o', 'yaml', ...peer]);
    expect(parse(stdout)).toMatchObject({ items: [{ name: 'job-1' }, { name: 'job-2' }], next_cursor: null });
  });

  it('shows those that exist and names those that do not', async () => {
    submitTasks(1);
    const result = await runInProcess(['get', 'task-1', 'task-9', '-o', 'name', ...peer]);
    expect(result).toEqual({
      stdout: 'task-1aaaaaaaaaaaa\n',
      stderr: 'jarvisctl: task-9: no task task-9\n',
      status: 1,
    });
  });

  it('exits with 2 where a prefix is ambiguous', async () => {
    submitTasks(2);
    const result = await runInProcess(['get', 'task-', ...peer]);
    expect(result.status).toBe(2);
    expect(result.stderr).toBe('jarvisctl: task- is the beginning of several tasks\n');
  });
});

describe('cancel', () => {
  it('sends one key per task, the same for every try', async () => {
    submitTasks(2);
    let refusals = 1;
    cluster.before = ({ method }) => {
      if (method === 'cancelTask' && refusals-- > 0) throw new JarvisError('no_leader', 'no leader');
    };
    const { stdout, status } = await runInProcess(['cancel', 'task-1', 'task-2', '-o', 'name', ...peer]);
    expect({ stdout, status }).toEqual({ stdout: 'task-1aaaaaaaaaaaa\ntask-2aaaaaaaaaaaa\n', status: 0 });
    const sent = cluster.requests<{ id: string; idempotency_key: string }>('cancelTask');
    expect(sent).toHaveLength(3);
    const keys = (id: string): Set<string> =>
      new Set(sent.filter((request) => request.id === id).map((request) => request.idempotency_key));
    expect([keys('task-1').size, keys('task-2').size]).toEqual([1, 1]);
    expect([...keys('task-1')]).not.toEqual([...keys('task-2')]);
  });
});

describe('node ls', () => {
  it('shows what is set aside, of what there is', async () => {
    cluster.nodes = [
      Node.create({
        name: 'n1',
        status: 'AVAILABLE',
        role: 'voter',
        capacity: { cpu_millis: 2000, memory_bytes: 2 ** 30 },
        allocated: { cpu_millis: 500, memory_bytes: 2 ** 29 },
        active_tasks: 3,
        isolation: 'cgroup2',
        joined_at: '2026-11-24T00:00:00Z',
      }),
    ];
    const { stdout } = await runInProcess(['node', 'ls', ...peer]);
    expect(stdout).toContain('NAME');
    expect(stdout).toMatch(/n1 {5}AVAILABLE,CORDONED {3}voter {3}0\.5\/2 {3}512Mi\/1Gi {3}3/);
    const wide = await runInProcess(['node', 'ls', '-o', 'wide', ...peer]);
    expect(wide.stdout).toMatch(/ISOLATION.*\n.* cgroup2 /);
    const json = await runInProcess(['node', 'ls', '-o', 'json', ...peer]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      items: [{ name: 'n1', usage: null, last_heartbeat_at: null, capacity: { cpu_millis: 2000 } }],
      next_cursor: null,
    });
  });
});

describe('version', () => {
  it('shows both', async () => {
    const { stdout, status } = await runInProcess(['version', '-o', 'json', ...peer]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      client: { version: expect.stringMatching(/^\d+\.\d+\.\d+/), node_version: process.version },
      server: { version: '9.9.9', name: 'n1' },
    });
  });

  it('shows its own where no peer answers', async () => {
    cluster.stop();
    const { stdout, stderr, status } = await runInProcess(['version', ...peer]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^jarvisctl \d+\.\d+\.\d+ \(Node\.js v\d+/);
    expect(stderr).toContain(`tried ${cluster.address}`);
  });
});
