import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Node } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { FakeCluster, fakeTask } from './fake-cluster.test-kit.ts';
import { dialGrpc } from './grpc-connection.ts';
import { runProgram } from './program.ts';
import { TestTerminal, runInProcess } from './run-cli.test-kit.ts';

let cluster: FakeCluster;
let terminal: TestTerminal;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  terminal = new TestTerminal();
  cluster.setTask(fakeTask({ id: 'task-1', name: 'one', status: 'PENDING' }));
  cluster.setTask(fakeTask({ id: 'task-2', name: 'two', status: 'RUNNING' }));
});

afterEach(() => cluster.stop());

function watch(words: string): Promise<number> {
  const argv = ['node', 'jarvisctl', ...words.split(' '), '--watch', '--peer', cluster.address];
  return runProgram(argv, { terminal, dial: dialGrpc });
}

function beat(at: string): Node {
  return Node.create({ name: 'n1', status: 'AVAILABLE', last_heartbeat_at: at });
}

describe('--watch in a pipe', () => {
  it('adds each row that changes, and says what is not listed any more', async () => {
    const ended = watch('ls');
    await terminal.stdout.until(/task-2/);
    cluster.update('task-1', { status: 'COMPLETED' });
    await terminal.stdout.until(/COMPLETED/);
    cluster.tasks.delete('task-2');
    await terminal.stderr.until(/task-2 is not in the list any more/);
    terminal.interrupt();
    expect(await ended).toBe(130);
    const [head, ...rows] = terminal.stdout.text.trimEnd().split('\n');
    expect(head).toMatch(/^ID +NAME +STATUS/);
    expect(rows.map((row) => row.split(/ +/).slice(0, 3))).toEqual([
      ['task-1', 'one', 'PENDING'],
      ['task-2', 'two', 'RUNNING'],
      ['task-1', 'one', 'COMPLETED'],
    ]);
  });

  it('writes a document a line as JSON', async () => {
    const ended = watch('get task-1 -o json');
    await terminal.stdout.until(/PENDING/);
    cluster.update('task-1', { status: 'RUNNING', node: 'n1' });
    await terminal.stdout.until(/RUNNING/);
    terminal.interrupt();
    await ended;
    const documents = terminal.stdout.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(documents).toMatchObject([
      { id: 'task-1', status: 'PENDING' },
      { id: 'task-1', status: 'RUNNING', node: 'n1' },
    ]);
  });

  it('goes on after the cluster was away for a while', async () => {
    const ended = watch('ls -o name');
    await terminal.stdout.until(/task-2/);
    cluster.stop();
    cluster.update('task-1', { status: 'COMPLETED' });
    await terminal.stderr.until(/still trying/);
    await cluster.start();
    await terminal.stdout.until(/task-1\ntask-2\ntask-1\n/);
    terminal.interrupt();
    expect(await ended).toBe(130);
  });

  it('takes for news only what is: a heartbeat and an age are none', async () => {
    cluster.nodes = [beat('2026-11-24T00:00:00Z')];
    const ended = watch('node ls -o name');
    await terminal.stdout.until(/n1/);
    cluster.nodes = [beat('2026-11-24T00:00:09Z')];
    const seen = cluster.requests('listNodes').length;
    await cluster.until(() => cluster.requests('listNodes').length > seen + 1);
    cluster.nodes = [{ ...beat('2026-11-24T00:00:10Z'), status: 'OFFLINE' }];
    await terminal.stdout.until(/n1\nn1\n/);
    terminal.interrupt();
    await ended;
    expect(terminal.stdout.text).toBe('n1\nn1\n');
  });

  it.each(['ls', 'get task-1', 'batch ls', 'batch get x', 'dag ls', 'dag get x', 'node ls', 'node get n1'])(
    'is there for "%s", and what is wrong at first is an error',
    async (words) => {
      cluster.before = () => {
        throw new JarvisError('forbidden', 'not for you');
      };
      const args = [...words.split(' '), '--watch', '--peer', cluster.address];
      expect(await runInProcess(args)).toEqual({ stdout: '', stderr: 'jarvisctl: not for you\n', status: 1 });
    },
  );
});

describe('--watch on a terminal', () => {
  it('draws over what it drew, and leaves what was seen last', async () => {
    terminal.stdout.asTerminal(10);
    const ended = watch('ls');
    await terminal.stdout.until(/PENDING/);
    cluster.update('task-1', { status: 'COMPLETED' });
    await terminal.stdout.until(/COMPLETED/);
    terminal.interrupt();
    expect(await ended).toBe(130);
    const [before, after] = terminal.stdout.text.split('\u001b[?1049l');
    expect(before).toContain('\u001b[?1049h');
    expect(after).toMatch(/^ID.*\n.*task-1.*COMPLETED.*\n.*task-2.*RUNNING.*\n$/);
    expect(terminal.stderr.text).toBe('');
  });
});
