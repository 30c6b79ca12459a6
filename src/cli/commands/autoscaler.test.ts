import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { AutoscalerStatus, ScalingDecision } from '../../generated/cluster.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'jarvis-simulate-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function fileOf(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function simulate(load: string, ...words: readonly string[]) {
  return await runInProcess(['autoscaler', 'simulate', '-f', fileOf('load.csv', load), ...words]);
}

describe('autoscaler simulate', () => {
  const BURST = 'time,tasks,duration\n0,500,2m\n';

  it('draws nodes and queue over time, and sums up what it took', async () => {
    const { stdout, status } = await simulate(BURST, '--until', '3h');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^nodes at work\n/);
    expect(stdout).toMatch(/\ntasks that wait\n/);
    expect(stdout).toMatch(/\ntasks: {2}500 completed; waited .* on average/);
    expect(stdout).toMatch(
      /\ncost: .* node hours, \d\.\d\d of what who knows the future pays for nothing to wait\n$/,
    );
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it('lists the decisions with -o wide, and has all of it as JSON', async () => {
    const { stdout } = await simulate(BURST, '-o', 'wide');
    expect(stdout).toMatch(/\n +0s {2}\+2 to 5 {2}queue_depth 470 above 100\n/);
    expect(JSON.parse((await simulate(BURST, '-o', 'json')).stdout)).toMatchObject({
      completed: 500,
      node_hours: expect.any(Number) as number,
      steps: expect.arrayContaining([
        expect.objectContaining({ time: 0, active: 3, queued: 470, average_wait_time: 0 }),
      ]) as unknown[],
    });
  });

  it('writes a picture', async () => {
    const file = path.join(folder, 'load.svg');
    const { stderr, status } = await simulate(BURST, '--svg', file);
    expect([status, stderr]).toEqual([0, expect.stringContaining(`${file} is written`)]);
    const svg = readFileSync(file, 'utf8');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg.match(/<path d="M[\d.,LHV]+"/g)).toHaveLength(2);
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  it('sums up weeks of it, too', async () => {
    const file = path.join(folder, 'load.svg');
    const config = fileOf('node.yaml', 'autoscaling: { interval: 4 }\n');
    const { stdout, status } = await simulate(BURST, '--until', '14d', '--config', config, '--svg', file);
    expect(status).toBe(0);
    expect(stdout).toContain('tasks:  500 completed');
    expect(readFileSync(file, 'utf8')).toMatch(/>3\d\d(\.\d)?h</);
    expect(await simulate(BURST, '--until', '64d')).toMatchObject({
      status: 2,
      stderr: 'jarvisctl: --until is at most 63d\n',
    });
  });

  it('goes by the rules of a file', async () => {
    const config = fileOf(
      'node.yaml',
      'autoscaling:\n  max_nodes: 4\n  scale_up_rules: [{ metric: queue_depth, threshold: 10, count: 9 }]\n',
    );
    const { stdout } = await simulate(BURST, '--config', config, '-o', 'json');
    const { steps } = JSON.parse(stdout) as { steps: { active: number; joining: number }[] };
    expect(Math.max(...steps.map(({ active, joining }) => active + joining))).toBe(4);
  });

  it.each([
    ['time,tasks\n0,1\n', /no column duration; the first line must name time,tasks,duration/],
    ['time,tasks,duration\n', /no row after the heading/],
    ['', /no row after the heading/],
    ['time,tasks,duration\n0,1,1m\n0,-1,1m\n', /line 3: tasks "-1" is not allowed: 1 to 1000000/],
    ['time,tasks,duration\n\n0,1,1m\n\n\n0,-1,1m\n', /line 6: tasks/],
    ['time,tasks,duration\nsoon,1,1m\n', /line 2: time "soon" is not allowed: seconds, or a duration/],
    ['time,tasks,duration\n0,1,400d\n', /line 2: duration 400d is too long: at most 31d/],
    ['time,tasks,duration\n0,1\n', /Invalid Record Length/],
  ])('refuses the load %j', async (load, message) => {
    const { stderr, stdout, status } = await simulate(load);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  it.each([
    ['heartbeat: {}\n', /no block autoscaling/],
    ['autoscaling: { max_nodes: 0 }\n', /autoscaling.max_nodes/],
    ['autoscaling: { max_node: 5 }\n', /autoscaling.max_node.*max_nodes/s],
  ])('refuses the rules %j', async (config, message) => {
    const { stderr, status } = await simulate(BURST, '--config', fileOf('node.yaml', config));
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('says where it cannot write', async () => {
    const { stderr, status } = await simulate(BURST, '--svg', path.join(folder, 'none', 'load.svg'));
    expect([status, stderr]).toEqual([2, expect.stringMatching(/cannot write .*ENOENT/)]);
  });
});

describe('autoscaler status and history', () => {
  const LOAD = {
    queue_depth: 500,
    average_wait_time: 600,
    longest_wait_time: 700,
    cluster_utilization: 99.6,
    unplaceable_tasks: 2,
    nodes: 3,
  };
  const DECISION = ScalingDecision.fromPartial({
    number: 7,
    time: '2026-11-24T00:00:00.000Z',
    action: 'add_nodes',
    count: 3,
    desired_nodes: 6,
    reason: 'queue_depth 500 above 100',
    load: LOAD,
    nodes: ['node-a', 'node-b', 'node-c'],
    done: 1,
    failed: 1,
  });
  const STATUS = AutoscalerStatus.fromPartial({
    enabled: true,
    provider: 'process',
    min_nodes: 1,
    max_nodes: 20,
    load: LOAD,
    active_nodes: 3,
    joining_nodes: 3,
    desired_nodes: 6,
    reason: 'nodes are on their way',
    rules: [
      {
        action: 'add_nodes',
        metric: 'queue_depth',
        threshold: 100,
        count: 2,
        value: 500,
        fires: true,
        held: 'joining',
      },
    ],
    instances: [
      {
        id: 'instance-a',
        node: 'node-a',
        provider: 'process',
        host: 'n1',
        phase: 'REQUESTED',
        phase_since: '2026-11-24T00:00:00.000Z',
        created_at: '2026-11-24T00:00:00.000Z',
        error: 'no room\u001b[31m',
      },
    ],
    last_decision: DECISION,
    failure: { provider: 'process', since: '2026-11-24T00:00:00.000Z', count: 2, reason: 'no room' },
  });

  async function run(words: readonly string[]) {
    const cluster = await FakeCluster.start();
    cluster.autoscaler = STATUS;
    cluster.scalingDecisions = { items: [DECISION], next_cursor: '' };
    try {
      return await runInProcess(['autoscaler', ...words, '--peer', cluster.address]);
    } finally {
      cluster.stop();
    }
  }

  it('says what is so, what the rules come to, and where each node stands', async () => {
    const { stdout, status } = await run(['status']);
    expect(status).toBe(0);
    expect(stdout).toContain('nodes:         3 active, 3 joining; 6 desired, 1 to 20 allowed\n');
    expect(stdout).toMatch(/load: +500 tasks wait, for 10m on average, 100 % in use, 2 fit no node\n/);
    expect(stdout).toMatch(/queue_depth +500 +above 100 +\+2 +fires, held: joining/);
    expect(stdout).toMatch(/node-a +REQUESTED .*process on n1 +no room/);
    expect(stdout).not.toContain('\u001b');
  });

  it('has the same as JSON as the HTTP API', async () => {
    const { stdout } = await run(['status', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({
      nodes: { active: 3, joining: 3, leaving: 0, desired: 6 },
      last_decision: { number: 7 },
      last_evaluated_at: null,
    });
  });

  it('lists what was decided, with its outcome', async () => {
    const { stdout } = await run(['history']);
    expect(stdout).toMatch(/7 +\S+ +\+3 +6 +1 done, 1 failed, 1 under way +queue_depth 500 above 100/);
    expect(JSON.parse((await run(['history', '-o', 'json'])).stdout)).toMatchObject({
      items: [{ number: 7, failed: 1 }],
      next_cursor: null,
    });
  });
});
