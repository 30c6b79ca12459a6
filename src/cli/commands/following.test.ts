import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { Member } from '../../generated/cluster.ts';
import type { LogsRequest, SubmitTasksRequest, Task } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { dialGrpc } from '../grpc-connection.ts';
import { runProgram } from '../program.ts';
import { FakeCluster, fakeAttempt, fakeTask } from '../fake-cluster.test-kit.ts';
import { CliProcess, TestTerminal, runInProcess } from '../run-cli.test-kit.ts';

const ID = 'task-aaaaaaaaaaaa1';
let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

function begin(id: string): void {
  cluster.update(id, {
    status: 'RUNNING',
    attempt: 1,
    node: 'n1',
    attempts: [fakeAttempt({ status: 'RUNNING' })],
  });
}

function end(id: string, change: Partial<Task>): void {
  const { status = 'COMPLETED', exit_code = 0 } = change;
  cluster.endLog(id, 1);
  const attempts = [fakeAttempt({ status: status === 'COMPLETED' ? status : 'FAILED' })];
  cluster.update(id, { attempt: 1, node: 'n1', status, exit_code, attempts, ...change });
}

/** The task does all it ever does before anybody can ask. */
function endAtOnce(change: Partial<Task>, stdout = '', stderr = ''): void {
  cluster.onSubmit = ({ id }) => {
    cluster.log(id, 1, 'stdout', stdout);
    cluster.log(id, 1, 'stderr', stderr);
    end(id, change);
  };
}

describe('run', () => {
  it('shows all output of a task that ends at once, apart, and exits with 0', async () => {
    endAtOnce({}, 'hello\nworld', 'warning\n');
    const result = await runInProcess(['run', ...peer, '--', 'sh', '-c', 'x']);
    expect(result).toEqual({ stdout: 'hello\nworld', stderr: 'warning\n', status: 0 });
  });

  it('passes bytes on as they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    cluster.onSubmit = ({ id }) => {
      cluster.log(id, 1, 'stdout', bytes);
      end(id, {});
    };
    const terminal = new TestTerminal();
    await runProgram(['node', 'jarvisctl', 'run', ...peer, 'x'], { terminal, dial: dialGrpc });
    expect(terminal.stdout.bytes).toEqual(bytes);
  });

  it('sends what the flags say, once over, with one attempt unless more are asked for', async () => {
    endAtOnce({});
    const flags = [
      '--name',
      'n',
      '--cpu',
      '2',
      '--memory',
      '1Gi',
      '--priority',
      'high',
      '--env',
      'A=1=2',
      '--env',
      'B=',
    ];
    flags.push('--timeout', '5m', '--stop-grace', '3', '-l', 'team=data', '--working-dir', '/tmp');
    await runInProcess(['run', ...flags, ...peer, '--', 'echo', '--cpu']);
    await runInProcess(['run', '--max-attempts', '4', ...peer, 'true']);
    const [first, second] = cluster.requests<SubmitTasksRequest>('submitTasks');
    expect(first?.tasks).toMatchObject([
      {
        name: 'n',
        command: ['echo', '--cpu'],
        env: { A: '1=2', B: '' },
        resources: { cpu: '2', memory: '1Gi' },
        priority: 'high',
        timeout: '5m',
        stop_grace: '3',
        labels: { team: 'data' },
        working_dir: '/tmp',
        retry_policy: { max_attempts: 1 },
      },
    ]);
    expect(second?.tasks).toMatchObject([{ retry_policy: { max_attempts: 4 } }]);
    expect(first?.idempotency_key).toMatch(/^[0-9a-f-]{36}$/);
    expect(second?.idempotency_key).not.toBe(first?.idempotency_key);
  });

  it('takes sensitive variables from its environment and from files, and tells nobody their values', async () => {
    endAtOnce({});
    const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-secret-env-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = path.join(directory, 'password');
    writeFileSync(file, 'canary-2\n');
    const env = { KEY: 'canary-1', EMPTY: '' };
    const flags = ['--env', 'A=1', '--secret-env', 'KEY', '--secret-env', `PASSWORD=@${file}`];
    const sent = await runInProcess(['run', ...flags, '--secret-env', 'EMPTY', ...peer, 'x'], { env });
    expect(sent).toMatchObject({ status: 0 });
    const [first] = cluster.requests<SubmitTasksRequest>('submitTasks');
    expect(first?.tasks).toMatchObject([
      { env: { A: '1' }, sensitive_env: { KEY: 'canary-1', PASSWORD: 'canary-2', EMPTY: '' } },
    ]);
    writeFileSync(path.join(directory, 'binary'), Buffer.from([0xff, 0xfe]));
    writeFileSync(path.join(directory, 'large'), Buffer.alloc(2 ** 20 + 1));
    for (const [words, message] of [
      [['--secret-env', 'OTHER'], /^jarvisctl: --secret-env: "OTHER" is not set in the environment/],
      [['--secret-env', 'KEY=canary-3'], /the value of "KEY" must not stand in the command line/],
      [['--secret-env', 'KEY=@'], /allowed: --secret-env NAME, which takes it from/],
      [['--secret-env', '=@x'], /a name is missing/],
      [['--secret-env', 'KEY', '--secret-env', 'KEY'], /"KEY" is given twice/],
      [['--secret-env', 'KEY', '--env', 'KEY=1'], /"KEY" is given twice/],
      [['--secret-env', 'KEY=@/nowhere'], /cannot read "\/nowhere": ENOENT/],
      [['--secret-env', `KEY=@${directory}/binary`], /is not UTF-8/],
      [['--secret-env', `KEY=@${directory}/large`], /more than 1 MiB/],
      [['--secret-env', 'KEY', '--name', 'no name'], /--name/],
    ] as const) {
      const { stdout, stderr, status } = await runInProcess(['run', ...words, ...peer, 'x'], { env });
      expect([status, stderr]).toEqual([2, expect.stringMatching(message)]);
      expect(stdout + stderr).not.toContain('canary');
    }
    expect(cluster.requests('submitTasks')).toHaveLength(1);
  });

  it.each([
    ['its exit code', { status: 'PERMANENTLY_FAILED', exit_code: 42 }, 42, /^$/],
    [
      '128 + n for signal n',
      { status: 'PERMANENTLY_FAILED', exit_code: undefined, signal: 'SIGKILL' },
      137,
      /SIGKILL/,
    ],
    [
      '1 for a timeout',
      { status: 'PERMANENTLY_FAILED', signal: 'SIGTERM', error: { type: 'Timeout', message: 'after 1 s' } },
      1,
      /Timeout: after 1 s/,
    ],
    ['1 for a cancelled task', { status: 'CANCELLED', exit_code: 3 }, 1, /CANCELLED/],
    [
      '1 where it never started',
      {
        status: 'PERMANENTLY_FAILED',
        exit_code: undefined,
        error: { type: 'StartFailed', message: 'no such program' },
      },
      1,
      /StartFailed: no such program/,
    ],
  ])('exits with %s', async (_, change: Partial<Task>, expected, message) => {
    endAtOnce({
      error: change.signal === 'SIGKILL' ? { type: 'Signal', message: 'SIGKILL' } : undefined,
      ...change,
    });
    const { stderr, status } = await runInProcess(['run', ...peer, 'x']);
    expect(status).toBe(expected);
    expect(stderr).toMatch(message);
  });

  it('prints the id and leaves it with --detach', async () => {
    const { stdout, status } = await runInProcess(['run', '--detach', ...peer, 'sleep', '100']);
    expect({ stdout, status }).toEqual({ stdout: `${ID}\n`, status: 0 });
    expect(cluster.requests('watchTask')).toEqual([]);
  });

  it('gives up with 124 when the time to wait is up, and says how to get back', async () => {
    cluster.onSubmit = ({ id }) => begin(id);
    const { stderr, status } = await runInProcess(['run', '--wait-timeout', '300ms', ...peer, 'sleep']);
    expect(status).toBe(124);
    expect(stderr).toMatch(
      `${ID} goes on; back to it: \`jarvisctl logs -f ${ID} --peer ${cluster.address}\``,
    );
  });

  it('detaches on Ctrl-C, says how to re-attach or cancel, and exits with 130', async () => {
    cluster.onSubmit = ({ id }) => begin(id);
    const cli = new CliProcess(['run', ...peer, '--', 'sleep', '100']);
    cluster.log(ID, 1, 'stdout', 'so far\n');
    await cli.until(({ stdout }) => stdout === 'so far\n');
    cli.interrupt();
    const { stderr, status } = await cli.result;
    expect(status).toBe(130);
    expect(stderr).toContain(`jarvisctl logs -f ${ID}`);
    expect(stderr).toContain(`jarvisctl cancel ${ID}`);
    expect(cluster.requests('cancelTask')).toEqual([]);
  });

  it('goes on where it was when the connection breaks, without losing or repeating a byte', async () => {
    cluster.onSubmit = ({ id }) => begin(id);
    const cli = new CliProcess(['run', ...peer, '--', 'x']);
    cluster.log(ID, 1, 'stdout', 'one\n');
    cluster.log(ID, 1, 'stderr', 'error\n');
    await cli.until(({ stdout, stderr }) => stdout !== '' && stderr !== '');
    cluster.stop();
    cluster.log(ID, 1, 'stdout', 'two\n');
    await cluster.start();
    await cli.until(({ stdout }) => stdout.includes('two'));
    cluster.log(ID, 1, 'stdout', 'three\n');
    end(ID, { status: 'PERMANENTLY_FAILED', exit_code: 7 });
    expect(await cli.result).toEqual({ stdout: 'one\ntwo\nthree\n', stderr: 'error\n', status: 7 });
  });

  it('goes on with another member, which it has heard of from the first', async () => {
    const other = await FakeCluster.start();
    try {
      const member = { raft_id: 1, role: 'voter', match_index: 1, lag: 0, state: 'leader', active: true };
      const members = [Member.create({ ...member, name: 'n2', address: other.address })];
      cluster.status = { ...cluster.status, members };
      cluster.onSubmit = ({ id }) => begin(id);
      const cli = new CliProcess(['run', ...peer, '--', 'x']);
      cluster.log(ID, 1, 'stdout', 'one\n');
      await cli.until(({ stdout }) => stdout === 'one\n');
      other.setTask(fakeTask({ id: ID, status: 'RUNNING', attempts: [fakeAttempt({ status: 'RUNNING' })] }));
      other.log(ID, 1, 'stdout', 'one\ntwo\n');
      cluster.stop();
      await cli.until(({ stdout }) => stdout === 'one\ntwo\n');
      other.endLog(ID, 1);
      other.update(ID, { status: 'COMPLETED', attempts: [fakeAttempt({ status: 'COMPLETED' })] });
      expect(await cli.result).toMatchObject({ stdout: 'one\ntwo\n', status: 0 });
    } finally {
      other.stop();
    }
  });

  it('repeats a submission of unknown outcome with the same key', async () => {
    endAtOnce({}, 'once\n');
    let tries = 0;
    cluster.before = ({ method }) => {
      tries += method === 'submitTasks' ? 1 : 0;
      if (method === 'submitTasks' && tries === 1)
        throw new JarvisError('outcome_unknown', 'the leader is gone');
    };
    expect(await runInProcess(['run', ...peer, 'x'])).toEqual({ stdout: 'once\n', stderr: '', status: 0 });
    const [first, second] = cluster.requests<SubmitTasksRequest>('submitTasks');
    expect(second?.idempotency_key).toBe(first?.idempotency_key);
  });

  it('shows the output of all attempts, and that there was more than one', async () => {
    cluster.onSubmit = ({ id }) => {
      const failed = fakeAttempt({ attempt: 1, status: 'FAILED' });
      cluster.log(id, 1, 'stdout', 'first\n');
      cluster.endLog(id, 1);
      const retry_policy = {
        max_attempts: 2,
        retryable_errors: [],
        non_retryable_errors: [],
        lists_given: false,
        no_retryable_errors: false,
        no_non_retryable_errors: false,
      };
      const error = { type: 'TemporaryFailure', message: 'exit code 75' };
      cluster.update(id, { status: 'FAILED', attempt: 1, attempts: [failed], retry_policy, error });
    };
    const cli = new CliProcess(['run', '--max-attempts', '2', ...peer, 'x']);
    await cli.until(({ stdout, stderr }) => stdout === 'first\n' && stderr.includes('attempt 1 of 2 failed'));
    cluster.log(ID, 2, 'stdout', 'second\n');
    cluster.endLog(ID, 2);
    const attempts = [
      fakeAttempt({ attempt: 1, status: 'FAILED' }),
      fakeAttempt({ attempt: 2, status: 'COMPLETED' }),
    ];
    cluster.update(ID, { status: 'COMPLETED', attempt: 2, attempts, error: undefined });
    expect(await cli.result).toMatchObject({ stdout: 'first\nsecond\n', status: 0 });
  });

  it('says so and exits like the task where its output is gone', async () => {
    endAtOnce({ status: 'PERMANENTLY_FAILED', exit_code: 5 });
    cluster.before = ({ method }) => {
      if (method === 'readLogs') throw new JarvisError('logs_unavailable', 'n1 has removed them');
    };
    const { stderr, status } = await runInProcess(['run', ...peer, 'x']);
    expect(status).toBe(5);
    expect(stderr).toBe(`jarvisctl: not all output of attempt 1 can be shown: n1 has removed them\n`);
  });

  it('asks again for a log that is not there yet', async () => {
    endAtOnce({}, 'late\n');
    let refusals = 2;
    cluster.before = ({ method }) => {
      if (method === 'readLogs' && refusals-- > 0) throw new JarvisError('unavailable', 'n1 does not answer');
    };
    expect(await runInProcess(['run', ...peer, 'x'])).toEqual({ stdout: 'late\n', stderr: '', status: 0 });
  });

  it('says why a task is waiting', async () => {
    cluster.onSubmit = ({ id }) => cluster.update(id, { status_reason: 'no node has 64 cores' });
    const cli = new CliProcess(['run', ...peer, '--', 'x']);
    await cli.until(({ stderr }) => stderr === `jarvisctl: ${ID} is waiting: no node has 64 cores\n`);
    end(ID, {});
    expect(await cli.result).toMatchObject({ status: 0 });
  });
});

describe('wait', () => {
  it("exits with a single task's code", async () => {
    cluster.setTask(fakeTask({ id: ID, status: 'RUNNING' }));
    const cli = new CliProcess(['wait', ID.slice(0, 8), ...peer]);
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    cluster.update(ID, { status: 'PERMANENTLY_FAILED', exit_code: 9, node: 'n2' });
    expect(await cli.result).toEqual({ stdout: `${ID} PERMANENTLY_FAILED on n2\n`, stderr: '', status: 9 });
  });

  it.each([
    ['COMPLETED', 0],
    ['CANCELLED', 1],
  ])('exits with 0 for several only if all completed: %s', async (status, expected) => {
    cluster.setTask(fakeTask({ id: 'task-1', status: 'COMPLETED' }));
    cluster.setTask(fakeTask({ id: 'task-2', status }));
    const result = await runInProcess(['wait', 'task-1', 'task-2', '-o', 'name', ...peer]);
    expect(result).toEqual({ stdout: 'task-1\ntask-2\n', stderr: '', status: expected });
  });

  it('gives up with 124', async () => {
    cluster.setTask(fakeTask({ id: ID, status: 'RUNNING' }));
    const result = await runInProcess(['wait', ID, '--timeout', '200ms', ...peer]);
    expect(result).toEqual({ stdout: '', stderr: `jarvisctl: ${ID}: not over yet\n`, status: 124 });
  });

  it('exits with 130 on Ctrl-C', async () => {
    cluster.setTask(fakeTask({ id: ID, status: 'RUNNING' }));
    const cli = new CliProcess(['wait', ID, ...peer]);
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    cli.interrupt();
    expect(await cli.result).toEqual({ stdout: '', stderr: '', status: 130 });
  });

  it('outlives a restart of its peer', async () => {
    cluster.setTask(fakeTask({ id: ID, status: 'RUNNING' }));
    const waiting = runInProcess(['wait', ID, ...peer]);
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    cluster.stop();
    await cluster.start();
    cluster.update(ID, { status: 'COMPLETED' });
    expect(await waiting).toMatchObject({ stderr: '', status: 0 });
  });

  it('exits with 1 for a task that does not exist', async () => {
    expect(await runInProcess(['wait', 'task-9', ...peer])).toMatchObject({
      status: 1,
      stderr: 'jarvisctl: no task task-9\n',
    });
  });
});

describe('logs', () => {
  beforeEach(() => {
    cluster.setTask(fakeTask({ id: ID }));
    begin(ID);
    cluster.log(ID, 1, 'stdout', 'one\n', 1000);
    cluster.log(ID, 1, 'stderr', 'bad\n', 2000);
    cluster.log(ID, 1, 'stdout', 'two\n', 3000);
  });

  it('prints what there is, each stream to its own', async () => {
    expect(await runInProcess(['logs', ID, ...peer])).toEqual({
      stdout: 'one\ntwo\n',
      stderr: 'bad\n',
      status: 0,
    });
  });

  it('puts the time in front of each line with --timestamps, followed or not', async () => {
    const stamped = {
      stdout: '1970-01-01T00:00:01.000Z one\n1970-01-01T00:00:03.000Z two\n',
      stderr: '1970-01-01T00:00:02.000Z bad\n',
      status: 0,
    };
    expect(await runInProcess(['logs', ID, '--timestamps', ...peer])).toEqual(stamped);
    end(ID, {});
    expect(await runInProcess(['logs', '-f', ID, '--timestamps', ...peer])).toEqual(stamped);
  });

  it('sends what is asked for', async () => {
    const flags = [
      '--tail',
      '0',
      '--stream',
      'stderr',
      '--attempt',
      '1',
      '--since',
      '2026-11-24T01:00:00+01:00',
    ];
    await runInProcess(['logs', ID, ...flags, ...peer]);
    expect(cluster.requests<LogsRequest>('readLogs')).toEqual([
      { id: ID, follow: false, tail: 0, stream: 'stderr', attempt: 1, since: '2026-11-24T00:00:00.000Z' },
    ]);
  });

  it('says that an attempt does not exist, or that none has begun', async () => {
    const none = await runInProcess(['logs', ID, '--attempt', '2', ...peer]);
    expect(none).toMatchObject({ status: 1, stderr: `jarvisctl: ${ID} has no attempt 2, it has begun 1\n` });
    cluster.setTask(fakeTask({ id: 'task-zz', status: 'PENDING' }));
    const pending = await runInProcess(['logs', 'task-zz', ...peer]);
    expect(pending).toMatchObject({
      status: 0,
      stderr: 'jarvisctl: task-zz is PENDING: no attempt has begun yet\n',
    });
  });

  it('follows from the last lines to the end, over a broken connection', async () => {
    const cli = new CliProcess(['logs', '-f', ID, '--tail', '1', ...peer]);
    await cli.until(({ stdout }) => stdout === 'two\n');
    cluster.stop();
    cluster.log(ID, 1, 'stdout', 'same moment\n', 3000);
    await cluster.start();
    await cli.until(({ stdout }) => stdout.includes('moment'));
    cluster.log(ID, 1, 'stdout', 'end\n', 4000);
    end(ID, { status: 'PERMANENTLY_FAILED', exit_code: 3 });
    expect(await cli.result).toEqual({ stdout: 'two\nsame moment\nend\n', stderr: '', status: 0 });
  });

  it('shows all of an attempt that begins after it, whatever the tail', async () => {
    const id = 'task-queued';
    cluster.setTask(fakeTask({ id, status: 'PENDING' }));
    const cli = new CliProcess(['logs', '-f', id, '--tail', '0', ...peer]);
    await cluster.until(() => cluster.requests('watchTask').length > 0);
    cluster.log(id, 1, 'stdout', 'x\n');
    begin(id);
    end(id, {});
    expect(await cli.result).toEqual({ stdout: 'x\n', stderr: '', status: 0 });
  });

  it('loses nothing that comes before a stream without output is opened again', async () => {
    const cli = new CliProcess(['logs', '-f', ID, '--tail', '0', ...peer]);
    await cluster.until(() => cluster.requests<LogsRequest>('readLogs').some(({ follow }) => follow));
    cluster.stop();
    cluster.log(ID, 1, 'stdout', 'meanwhile\n', 3000);
    await cluster.start();
    await cli.until(({ stdout }) => stdout === 'meanwhile\n');
    end(ID, {});
    expect(await cli.result).toEqual({ stdout: 'meanwhile\n', stderr: '', status: 0 });
  });

  it('exits with 130 on Ctrl-C', async () => {
    const cli = new CliProcess(['logs', '-f', ID, ...peer]);
    await cli.until(({ stdout }) => stdout === 'one\ntwo\n');
    cli.interrupt();
    expect(await cli.result).toMatchObject({ status: 130 });
  });
});
