import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Node } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { dialGrpc } from '../grpc-connection.ts';
import { runProgram } from '../program.ts';
import { runInProcess, TestTerminal } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
  cluster.nodes = [nodeOf('n1', 10), nodeOf('n2', 90), Node.create({ ...nodeOf('n3', 0), usage: undefined })];
  for (let index = 1; index <= 30; index += 1)
    cluster.setTask(fakeTask({ id: `task-${index}a`, name: `job-${index}`, status: 'RUNNING', node: 'n1' }));
});
afterEach(() => cluster.stop());

function nodeOf(name: string, cpuPercent: number): Node {
  return Node.create({
    name,
    status: 'AVAILABLE',
    schedulable: name !== 'n3',
    capacity: { cpu_millis: 2000, memory_bytes: 2 ** 30 },
    allocated: { cpu_millis: 500, memory_bytes: 2 ** 29 },
    usage: {
      cpu_percent: cpuPercent,
      memory_bytes: 2 ** 28,
      disk_bytes: 2 ** 31,
      network_bytes_per_second: 2048,
      wall_ms: 0,
      pressure: [],
    },
    active_tasks: 10,
  });
}

describe('top', () => {
  it('shows the busiest node first, and looks once where the output is no terminal', async () => {
    const { stdout, stderr, status } = await runInProcess(['top', ...peer]);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^leader \S+, term \d+; 2 of 3 nodes take work; 30 tasks on them$/);
    expect(lines[3]).toMatch(/^n2 +AVAILABLE +90% +0\.5\/2 +256Mi +512Mi\/1Gi +2Gi +2Ki\/s +10 +-$/);
    expect(lines[4]).toMatch(/^n1 +AVAILABLE +10% /);
    expect(lines[5]).toMatch(/^n3 +AVAILABLE,CORDONED +- +0\.5\/2 +- /);
    expect(lines[7]).toMatch(/^ID +NAME +STATUS/);
    expect(stdout).toContain('more run: "jarvisctl ls --status RUNNING" lists them all\n');
    expect(stdout).not.toContain('\u001b');
  });

  it('says in JSON what the HTTP API says', async () => {
    const { stdout } = await runInProcess(['top', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toMatchObject({
      nodes: {
        items: [{ name: 'n2', usage: { cpu_percent: 90 } }, { name: 'n1' }, { name: 'n3', usage: null }],
      },
      running: { length: 30 },
      are_more: false,
    });
  });

  it('fills a terminal again and again, also over an outage, and leaves it as it was', async () => {
    const terminal = new TestTerminal({ rows: 12 });
    const argv = ['node', 'jarvisctl', 'top', '--interval', '1ms', ...peer];
    const ended = runProgram(argv, { terminal, dial: dialGrpc });
    await terminal.stdout.until(/n2 .*90%/);
    cluster.nodes = [nodeOf('n1', 55)];
    await terminal.stdout.until(/n1 .*55%/);
    cluster.before = () => {
      throw new JarvisError('internal', 'something is broken');
    };
    await terminal.stdout.until(/something is broken/);
    cluster.before = () => undefined;
    cluster.nodes = [nodeOf('n1', 66)];
    await terminal.stdout.until(/n1 .*66%/);
    terminal.interrupt();
    expect(await ended).toBe(0);
    const screens = terminal.stdout.text.split('\u001b[H');
    expect(screens[0]).toBe('\u001b[?1049h\u001b[?7l\u001b[?25l');
    expect(terminal.stdout.text.endsWith('\u001b[?25h\u001b[?7h\u001b[?1049l')).toBe(true);
    for (const screen of screens.slice(1)) expect(screen.split('\r\n').length).toBeLessThanOrEqual(12);
  });

  it('refuses an interval that is none', async () => {
    const { stderr, status } = await runInProcess(['top', '--interval', 'soon', ...peer]);
    expect({ stderr, status }).toMatchObject({ status: 2 });
    expect(stderr).toContain('soon');
  });
});
