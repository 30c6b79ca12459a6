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
        batch_id: '',
        dag_id: '',
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
        pressure: ['disk'],
        isolation: 'cgroup2',
        joined_at: '2026-11-24T00:00:00Z',
      }),
    ];
    const { stdout } = await runInProcess(['node', 'ls', ...peer]);
    expect(stdout).toContain('NAME');
    expect(stdout).toMatch(/n1 {5}AVAILABLE,CORDONED,SHORT OF disk {3}voter {3}0\.5\/2 {3}512Mi\/1Gi {3}3/);
    const wide = await runInProcess(['node', 'ls', '-o', 'wide', ...peer]);
    expect(wide.stdout).toMatch(/ISOLATION.*\n.* cgroup2 /);
    const json = await runInProcess(['node', 'ls', '-o', 'json', ...peer]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      items: [{ name: 'n1', usage: null, last_heartbeat_at: null, capacity: { cpu_millis: 2000 } }],
      next_cursor: null,
    });
  });
});

describe('node get', () => {
  beforeEach(() => {
    cluster.nodes = ['n1', 'n2'].map((name) => Node.create({ name, status: 'OFFLINE', isolation: 'none' }));
  });

  it('shows the nodes that are named: one as itself, several as a list', async () => {
    const { stdout } = await runInProcess(['node', 'get', 'n2', ...peer]);
    expect(stdout).toMatch(/^NAME.*HEARTBEAT.*ISOLATION.*\nn2 .*OFFLINE/);
    expect(stdout).not.toContain('n1');
    const one = await runInProcess(['node', 'get', 'n2', '-o', 'json', ...peer]);
    expect(JSON.parse(one.stdout)).toMatchObject({ name: 'n2', status: 'OFFLINE', isolation: 'none' });
    const both = await runInProcess(['node', 'get', 'n1', 'n2', '-o', 'json', ...peer]);
    expect(JSON.parse(both.stdout)).toMatchObject({ items: [{ name: 'n1' }, { name: 'n2' }] });
  });

  it('exits with 1 where one is not there, and shows the others', async () => {
    const { stdout, stderr, status } = await runInProcess(['node', 'get', 'n1', 'n9', '-o', 'name', ...peer]);
    expect({ stdout, status }).toEqual({ stdout: 'n1\n', status: 1 });
    expect(stderr).toContain('n9: there is no node "n9"');
  });
});

function remove(...args: readonly string[]) {
  return runInProcess(['node', 'remove', ...args, ...peer]);
}

describe('node remove', () => {
  beforeEach(() => {
    cluster.nodes = [Node.create({ name: 'n1' })];
  });

  it('asks for just that, with a key, and says what came of it', async () => {
    cluster.removed = { lost_attempts: 2, member: undefined };
    const { stdout, stderr, status } = await remove('n1', '--dead');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/REMOVED +LOST ATTEMPTS +STILL A MEMBER\nn1 +2 +no/);
    const request: unknown = cluster.calls.find(({ method }) => method === 'removeNode')?.request;
    expect(request).toEqual({
      name: 'n1',
      dead: true,
      idempotency_key: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it('vouches for nothing by itself', async () => {
    await remove('n1');
    expect(cluster.calls.find(({ method }) => method === 'removeNode')?.request).toMatchObject({
      dead: false,
    });
  });

  it('says how to end its membership, and says so in JSON too', async () => {
    cluster.removed = { lost_attempts: 0, member: 'voter' };
    const { stdout, stderr } = await remove('n1', '-o', 'json');
    expect(JSON.parse(stdout)).toEqual({ name: 'n1', lost_attempts: 0, member: 'voter' });
    expect(stderr).toBe(
      'jarvisctl: n1 is still a voter of the cluster; "jarvisctl cluster remove n1" ends that\n',
    );
  });

  it('exits with 1 and the reason where it is refused, with 2 where it is not understood', async () => {
    expect(await remove('n9')).toMatchObject({ status: 1, stderr: 'jarvisctl: there is no node "n9"\n' });
    expect(await remove()).toMatchObject({ status: 2 });
    expect((await remove('n1', '--ded')).stderr).toContain('--dead');
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
