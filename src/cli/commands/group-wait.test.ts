import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Dag, DagTask } from '../../generated/cluster.ts';
import { barOf, withBar } from '../output/bar.ts';
import { progressLines } from '../output/group-progress.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { dialGrpc } from '../grpc-connection.ts';
import { runProgram } from '../program.ts';
import { TestTerminal, runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
});

afterEach(() => cluster.stop());

function dagTask(id: string, status: string, dependencies: readonly string[] = []): DagTask {
  return DagTask.create({ dag_task: id, status, dependencies: [...dependencies] });
}

const running = Dag.create({
  id: 'dag-a',
  name: 'etl',
  status: 'RUNNING',
  size: 3,
  counts: { COMPLETED: 1, RUNNING: 1, WAITING: 1 },
  tasks: [
    dagTask('load', 'WAITING', ['transform']),
    { ...dagTask('transform', 'RUNNING', ['extract']), node: 'n1' },
    dagTask('extract', 'COMPLETED'),
  ],
});

function wait(terminal: TestTerminal): Promise<number> {
  Object.assign(terminal.stderr, { isTTY: true, columns: 40, rows: 24 });
  return runProgram(['node', 'jarvisctl', 'dag', 'wait', 'etl', '--peer', cluster.address], {
    terminal,
    dial: dialGrpc,
  });
}

describe('dag wait on a terminal', () => {
  it('shows a bar and the tree of its tasks, and leaves nothing of it', async () => {
    cluster.groups.dag = () => running;
    const terminal = new TestTerminal({ env: { NO_COLOR: '1' } });
    const ended = wait(terminal);
    await terminal.stderr.until(/▶ transform/);
    cluster.groups.dag = () => ({ ...running, status: 'COMPLETED' });
    expect(await ended).toBe(0);
    expect(terminal.stdout.text).toBe('dag-a COMPLETED\n');
    // oxlint-disable-next-line no-control-regex -- what moves the cursor is looked for, colours are not
    const text = terminal.stderr.text.replaceAll(/\u001b\[\d+m/g, '');
    const k = '\u001b[K\n';
    const bar = 'etl ████████░░░░░░░░░░░░░░░░ 1/3  1 running';
    expect(text.startsWith(bar.slice(0, 39))).toBe(true);
    expect(text).toContain(
      `  ✓ extract COMPLETED${k}    ▶ transform RUNNING on n1${k}      · load WAITING${k}`,
    );
    expect(text.endsWith('\u001b[4A\r\u001b[J')).toBe(true);
    for (const line of text.split('\n')) expect(line.replace('\u001b[K', '').length).toBeLessThan(50);
  });

  it('leaves what failed to be seen', async () => {
    cluster.groups.dag = () => running;
    const terminal = new TestTerminal();
    const ended = wait(terminal);
    await terminal.stderr.until(/▶ transform/);
    const failed = { ...dagTask('transform', 'PERMANENTLY_FAILED', ['extract']), node: 'n1', exit_code: 3 };
    cluster.groups.dag = () => ({ ...running, status: 'FAILED', tasks: [failed] });
    expect(await ended).toBe(1);
    const [, after = ''] = terminal.stderr.text.split('✗ transform PERMANENTLY_FAILED on n');
    // Nothing is drawn over it any more.
    expect(after.split('\n')).toHaveLength(2);
    expect(after.endsWith('\n\u001b[J')).toBe(true);
  });

  it('goes on through a leader that goes away', async () => {
    cluster.groups.dag = () => running;
    const terminal = new TestTerminal();
    const ended = wait(terminal);
    await terminal.stderr.until(/▶ transform/);
    cluster.stop();
    cluster.groups.dag = () => ({ ...running, status: 'FAILED' });
    await cluster.start();
    expect(await ended).toBe(1);
    expect(terminal.stdout.text).toBe('dag-a FAILED\n');
  });
});

describe('dag wait in a pipe', () => {
  it('says nothing until it is over', async () => {
    let asked = 0;
    cluster.groups.dag = () => ({ ...running, status: (asked += 1) > 1 ? 'COMPLETED' : 'RUNNING' });
    cluster.eventsSince = () => [{ events: [], position: '1', complete: false }];
    const result = await runInProcess(['dag', 'wait', 'etl', '--peer', cluster.address]);
    expect(result).toEqual({ stdout: 'dag-a COMPLETED\n', stderr: '', status: 0 });
  });
});

describe('wait for several tasks on a terminal', () => {
  it('says how many are over', async () => {
    for (const id of ['task-1', 'task-2']) cluster.setTask(fakeTask({ id, status: 'RUNNING' }));
    const terminal = new TestTerminal();
    Object.assign(terminal.stderr, { isTTY: true, columns: 60, rows: 24 });
    const ended = runProgram(['node', 'jarvisctl', 'wait', 'task-1', 'task-2', '--peer', cluster.address], {
      terminal,
      dial: dialGrpc,
    });
    await cluster.until(() => cluster.requests('watchTask').length === 2);
    cluster.update('task-2', { status: 'COMPLETED' });
    await terminal.stderr.until(/1 of 2 tasks are over/);
    cluster.update('task-1', { status: 'COMPLETED' });
    expect(await ended).toBe(0);
    expect(terminal.stdout.text).toBe('task-2 COMPLETED\ntask-1 COMPLETED\n');
  });
});

describe('progress', () => {
  it('shows of a large DAG what something happens with, and how much more there is', () => {
    const many = Array.from({ length: 50 }, (_, at) => dagTask(`t${at}`, at === 30 ? 'RUNNING' : 'WAITING'));
    const lines = progressLines({ ...running, tasks: many }, 10, 0);
    expect(lines.slice(1).map(({ text }) => text)).toEqual(['  ▶ t30 RUNNING', '  … 49 more']);
    const busy = many.map((task) => ({ ...task, status: 'RUNNING' }));
    expect(progressLines({ ...running, tasks: busy }, 10, 0)).toHaveLength(10);
  });

  it('is a bar of fixed width, whatever is asked for', () => {
    expect([-1, 0, 0.5, 0.999, 1, 2].map((share) => barOf(share, 4))).toEqual([
      '░░░░',
      '░░░░',
      '██░░',
      '███░',
      '████',
      '████',
    ]);
    expect(withBar('pulling a/b:1: 50 %', 4)).toBe('pulling a/b:1: 50 % ██░░');
    expect(withBar('creating the container', 4)).toBe('creating the container');
  });
});
