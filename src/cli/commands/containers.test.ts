import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { SubmitTasksRequest, Task } from '../../generated/cluster.ts';
import { FakeCluster, fakeAttempt, fakeTask } from '../fake-cluster.test-kit.ts';
import { dialGrpc } from '../grpc-connection.ts';
import { runProgram } from '../program.ts';
import { TestTerminal, runInProcess } from '../run-cli.test-kit.ts';

const ID = 'task-aaaaaaaaaaaa1';
let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

function starting(status_reason: string | undefined): void {
  cluster.update(ID, {
    status: 'ASSIGNED',
    status_reason,
    attempt: 1,
    attempts: [fakeAttempt({ status: 'STARTING' })],
  });
}

function finish(): void {
  cluster.log(ID, 1, 'stdout', 'hello\n');
  cluster.endLog(ID, 1);
  const attempts = [fakeAttempt({ status: 'COMPLETED' })];
  cluster.update(ID, { status: 'COMPLETED', status_reason: undefined, exit_code: 0, attempt: 1, attempts });
}

describe('run with an image', () => {
  it('sends what the flags say; a command is not needed', async () => {
    cluster.onSubmit = () => finish();
    const flags = ['--image', 'python:3.9', '--user', '1000:1000', '--network', 'none', '--pull', 'always'];
    flags.push('--mount', '/srv:/data', '--mount', '/etc:/etc/node:ro');
    flags.push('--limit-cpu', '2', '--limit-memory', '1Gi', '--limit-pids', '50');
    expect(await runInProcess(['run', ...flags, ...peer])).toMatchObject({ stdout: 'hello\n', status: 0 });
    await runInProcess(['run', '-d', '--image', 'a', '--limit-pids', '5', ...peer, '--', 'x', '--pull']);
    const [first, second] = cluster.requests<SubmitTasksRequest>('submitTasks');
    expect(first?.tasks).toMatchObject([
      {
        image: 'python:3.9',
        command: [],
        user: '1000:1000',
        network: 'none',
        pull_policy: 'always',
        mounts: [
          { source: '/srv', target: '/data', read_only: false },
          { source: '/etc', target: '/etc/node', read_only: true },
        ],
        limits: { cpu: '2', memory: '1Gi', pids: 50 },
      },
    ]);
    expect(second?.tasks).toMatchObject([
      { image: 'a', command: ['x', '--pull'], mounts: [], limits: { pids: 5 } },
    ]);
  });

  it('says each phase of the start once where nobody watches a terminal', async () => {
    const terminal = new TestTerminal();
    const ended = runProgram(['node', 'jarvisctl', 'run', ...peer, '--image', 'localhost:5000/hello'], {
      terminal,
      dial: dialGrpc,
    });
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    starting(undefined);
    starting('pulling localhost:5000/hello: 10 %');
    await terminal.stderr.until(/hello\n/);
    starting('pulling localhost:5000/hello: 60 %');
    starting('creating the container');
    await terminal.stderr.until(/creating/);
    finish();
    expect(await ended).toBe(0);
    expect(terminal.stderr.text).toBe(
      'jarvisctl: pulling localhost:5000/hello\njarvisctl: creating the container\n',
    );
  });

  it('writes over one line on a terminal, and leaves nothing of it', async () => {
    const terminal = new TestTerminal();
    Object.assign(terminal.stderr, { isTTY: true, columns: 31 });
    const ended = runProgram(['node', 'jarvisctl', 'run', ...peer, '--image', 'hello'], {
      terminal,
      dial: dialGrpc,
    });
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    starting('pulling hello: 10 %');
    await terminal.stderr.until(/10 %/);
    starting(`pulling hello: 60 % ${'of a lot '.repeat(9)}\u001b[2J`);
    await terminal.stderr.until(/60/);
    finish();
    expect(await ended).toBe(0);
    const clear = '\r\u001b[K';
    expect(terminal.stderr.text).toBe(
      `${clear}jarvisctl: pulling hello: 10 %${clear}jarvisctl: pulling hello: 60 %${clear}`,
    );
    expect(terminal.stdout.text).toBe('hello\n');
  });
});

describe('ls', () => {
  it('shows images only where there is room', async () => {
    cluster.setTask(fakeTask({ id: 'task-1', image: 'python:3.9', command: [] }));
    cluster.setTask(fakeTask({ id: 'task-2' }));
    expect((await runInProcess(['ls', ...peer])).stdout).not.toContain('IMAGE');
    const { stdout } = await runInProcess(['ls', '-o', 'wide', ...peer]);
    const [titles = '', first = '', second = ''] = stdout.split('\n');
    const at = titles.indexOf('IMAGE');
    expect([first.slice(at, at + 10), second.slice(at, at + 2)]).toEqual(['python:3.9', '- ']);
  });
});

describe('jarvisctl describe', () => {
  const whole: Partial<Task> = {
    id: 'task-1',
    image: 'python:3.9',
    command: ['python', '-c', "print('a b')"],
    user: '1000',
    network: 'none',
    pull_policy: 'always',
    mounts: [{ source: '/srv', target: '/data', read_only: true }],
    limits: { cpu: '2', memory: '1Gi' },
    env: { KEY: 'one\ntwo' },
    labels: { team: 'data' },
    status: 'FAILED',
    status_reason: 'retry 1 in 2 s after ExitCode',
    attempt: 1,
    node: 'n2',
    attempts: [
      fakeAttempt({
        node: 'n2',
        status: 'FAILED',
        exit_code: 3,
        error: { type: 'ExitCode', message: 'exit code 3' },
        image_digest: 'python@sha256:abc',
        log_tail: 'first\tline\r\nevil \u001b[2J\n',
        finished_at: '2026-11-24T00:00:05.000Z',
      }),
    ],
  };

  it('names sensitive variables, of which it knows no value', async () => {
    cluster.setTask(fakeTask({ ...whole, env: { KEY: 'one' }, sensitive_env: ['TOKEN'] }));
    const { stdout } = await runInProcess(['describe', 'task-1', ...peer]);
    expect(stdout).toMatch(/^ {2}Environment:\n {4}KEY=one\n {4}TOKEN: sensitive$/m);
    const json = await runInProcess(['get', 'task-1', '-o', 'json', ...peer]);
    expect(JSON.parse(json.stdout)).toMatchObject({ env: { KEY: 'one', TOKEN: { sensitive: true } } });
  });

  it('shows what is being done to end an attempt, and who has its log', async () => {
    const stopping = {
      reason: 'lease_lost',
      since: '2026-11-24T00:00:05.000Z',
      kill_at: '2126-11-24T00:00:15.000Z',
    };
    const attempts = [fakeAttempt({ status: 'RUNNING', log_node: 'n3', stopping })];
    cluster.setTask(fakeTask({ ...whole, status: 'RUNNING', attempts }));
    const { stdout } = await runInProcess(['describe', 'task-1', ...peer]);
    expect(stdout).toMatch(/^ +Log on node: +n3$/m);
    const since = 'lease lost: TERM since 2026-11-24T00:00:05.000Z, KILL';
    expect(stdout).toContain(`${since} at 2126-11-24T00:00:15.000Z`);
    const killed = { ...stopping, kill_at: '2026-11-24T00:00:05.000Z' };
    cluster.setTask(fakeTask({ ...whole, attempts: [fakeAttempt({ status: 'RUNNING', stopping: killed })] }));
    expect((await runInProcess(['describe', 'task-1', ...peer])).stdout).toContain(
      `${since} since 2026-11-24T00:00:05.000Z`,
    );
  });

  it('breaks sentences between words on a terminal, and shows what may be copied as it is', async () => {
    const script = 'if a; then\n  echo "one  two" >&2\nfi\n';
    const error = { type: 'StartFailed', message: `cannot start it: ${'so it is '.repeat(12)}` };
    cluster.setTask(fakeTask({ ...whole, command: ['sh', '-c', script], error }));
    const { stdout } = await runInProcess(['describe', 'task-1', ...peer], { rows: 50 });
    expect(stdout).toContain(`  Command:\n    sh -c 'if a; then\n      echo "one  two" >&2\n    fi\n    '\n`);
    expect(stdout).toMatch(/^Message: +cannot start it: .* it is\n {2}so it is/m);
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('shows everything that is known, as lines of a text', async () => {
    cluster.setTask(fakeTask(whole));
    const { stdout, stderr, status } = await runInProcess(['describe', 'task-1', ...peer]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    for (const line of [
      /^Id: +task-1$/m,
      /^Labels:\n {2}team=data$/m,
      /^Status: +FAILED$/m,
      /^Reason: +retry 1 in 2 s after ExitCode$/m,
      /^Node: +n2$/m,
      /^ {2}Created: +2026-11-24T00:00:00\.000Z \(\S+ ago\)$/m,
      /^ {2}Image: +python:3\.9$/m,
      /^ {2}Command: +python -c 'print\('\\''a b'\\''\)'$/m,
      /^ {2}Environment:\n {4}KEY=one\\x0atwo$/m,
      /^ {2}Mounts:\n {4}\/srv at \/data \(read-only\)$/m,
      /^ {2}Limits: +cpu 2, memory 1Gi, pids none$/m,
      /^ {2}1: FAILED on n2$/m,
      /^ {4}Exit code: +3$/m,
      /^ {4}Error: +ExitCode$/m,
      /^ {4}Image digest: +python@sha256:abc$/m,
      /^ {4}Duration: +4s$/m,
      /^ {4}Log tail:\n {6}first {4}line\n {6}evil \\x1b\[2J$/m,
    ])
      expect(stdout).toMatch(line);
  });

  it('says little of a command that waits', async () => {
    cluster.setTask(fakeTask({ id: 'task-1', status: 'PENDING' }));
    const { stdout } = await runInProcess(['describe', 'task-1', ...peer]);
    expect(stdout).toMatch(/^ {2}Image: +none: a process of the node$/m);
    expect(stdout).toMatch(/^Attempts:\n {2}-\n$/m);
    expect(stdout).not.toMatch(/Mounts|Limits|Exit code/);
  });

  it('is as JSON and YAML what get is, and takes several', async () => {
    cluster.setTask(fakeTask(whole));
    cluster.setTask(fakeTask({ id: 'task-2' }));
    const yaml = await runInProcess(['describe', 'task-1', '-o', 'yaml', ...peer]);
    expect(yaml.stdout).toBe((await runInProcess(['get', 'task-1', '-o', 'yaml', ...peer])).stdout);
    expect(parse(yaml.stdout)).toMatchObject({
      image: 'python:3.9',
      mounts: [{ source: '/srv', target: '/data', read_only: true }],
      limits: { cpu: '2', memory: '1Gi', pids: null },
      attempts: [{ image_digest: 'python@sha256:abc' }],
    });
    const both = await runInProcess(['describe', 'task-1', 'task-2', ...peer]);
    expect(both.stdout.match(/^Id: .*$/gm)).toHaveLength(2);
    const absent = await runInProcess(['describe', 'task-9', ...peer]);
    expect(absent).toMatchObject({ stdout: '', status: 1 });
  });
});
