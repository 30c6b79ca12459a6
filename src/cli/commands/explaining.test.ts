import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { PlanRequest } from '../../generated/cluster.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

const REASONS = [
  { filter: 'drain', excluded: 1, nearest_miss: 'node n3 is DRAINING' },
  { filter: 'resources', excluded: 2, nearest_miss: 'node n1 lacks 300m cpu' },
];
let cluster: FakeCluster;
let peer: string[];
let directory: string;

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
  directory = mkdtempSync(join(tmpdir(), 'jarvis-plan-'));
});
afterEach(() => {
  cluster.stop();
  rmSync(directory, { recursive: true });
});

function file(text: string): string {
  const path = join(directory, 'tasks.yaml');
  writeFileSync(path, text);
  return path;
}

describe('explain', () => {
  it('says the place in the queue and every reason', async () => {
    cluster.setTask(fakeTask({ id: 'task-1' }));
    cluster.explanation = { ...cluster.explanation, position: 7, reasons: REASONS };
    expect(await runInProcess(['explain', 'task-1', ...peer])).toEqual({
      stdout:
        'task-1 is PENDING, number 7 in the queue\n' +
        '  drain: 1 node excluded; the nearest: node n3 is DRAINING\n' +
        '  resources: 2 nodes excluded; the nearest: node n1 lacks 300m cpu\n',
      stderr: '',
      status: 0,
    });
    const { stdout } = await runInProcess(['explain', 'task-1', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toEqual({ id: 'task-1', status: 'PENDING', position: 7, reasons: REASONS });
  });

  it('says so where a task does not wait, or waits for its turn only', async () => {
    cluster.setTask(fakeTask({ id: 'task-1' }));
    const waits = await runInProcess(['explain', 'task-1', ...peer]);
    expect(waits.stdout).toContain('a node has room for it');
    cluster.explanation = { ...cluster.explanation, status: 'RUNNING' };
    expect((await runInProcess(['explain', 'task-1', ...peer])).stdout).toBe('task-1 is RUNNING\n');
  });
});

describe('plan', () => {
  it('says where tasks would run, and exits 1 where one fits nowhere', async () => {
    cluster.plan = {
      index: 7,
      items: [
        { name: 'a', count: 3, node: 'n1', reasons: [] },
        { name: 'b', count: 1, reasons: REASONS.slice(1) },
      ],
    };
    const path = file('{name: a, command: [x], affinity: {anti: [{batch: self}]}}');
    expect(await runInProcess(['plan', '-f', path, ...peer])).toEqual({
      stdout:
        'a (3 times): n1\nb: nowhere at present\n' +
        '  resources: 2 nodes excluded; the nearest: node n1 lacks 300m cpu\n',
      stderr: '',
      status: 1,
    });
    expect(cluster.requests<PlanRequest>('planTasks')).toMatchObject([
      { tasks: [{ name: 'a', affinity: { anti: [{ batch: 'self' }] } }] },
    ]);
    const { stdout, status } = await runInProcess(['plan', '-f', path, '-o', 'json', ...peer]);
    expect({ status, json: JSON.parse(stdout) as unknown }).toEqual({
      status: 1,
      json: {
        index: 7,
        items: [
          { name: 'a', count: 3, node: 'n1', reasons: [] },
          { name: 'b', count: 1, node: null, reasons: REASONS.slice(1) },
        ],
      },
    });
  });

  it('sends batches and DAGs, too; what waits for its own batch only has a place', async () => {
    const waits = { filter: 'max_parallel', excluded: 1, nearest_miss: 'it waits' };
    cluster.plan = { index: 7, items: [{ name: 'a', count: 1, reasons: [waits] }] };
    const groups = `kind: Batch
max_parallel: 1
template: { command: [x] }
count: 2
---
kind: Dag
name: d
tasks: [{ id: a, command: [x] }]
`;
    expect((await runInProcess(['plan', '-f', file(groups), ...peer])).status).toBe(0);
    expect(cluster.requests<PlanRequest>('planTasks')).toMatchObject([
      { tasks: [], batches: [{ max_parallel: 1, count: 2 }], dags: [{ name: 'd', tasks: [{ id: 'a' }] }] },
    ]);
  });

  it.each([
    [0, 'its own concurrency key', ['concurrency']],
    [0, 'both of its own bounds', ['max_parallel', 'concurrency']],
    [0, 'others of its DAG, and its turn', ['dependencies', 'max_parallel']],
    [1, 'its turn, and fits nowhere', ['concurrency', 'resources']],
    [1, 'others of its DAG, and fits nowhere', ['dependencies', 'resources']],
    [1, 'a node, of which there is none', ['health']],
    [1, 'nothing that is known', []],
  ])('exits %d where a task waits for %s', async (status, _what, filters) => {
    const reasons = filters.map((filter) => ({ filter, excluded: 0, nearest_miss: 'for a reason' }));
    cluster.plan = { index: 7, items: [{ name: 'a', count: 1, reasons }] };
    expect((await runInProcess(['plan', '-f', file('command: [x]'), ...peer])).status).toBe(status);
  });

  it('exits 0 where all fit, and 2 for a file that is wrong', async () => {
    cluster.plan = { index: 7, items: [{ name: 'a', count: 1, node: 'n1', reasons: [] }] };
    expect((await runInProcess(['plan', '-f', file('command: [x]'), ...peer])).status).toBe(0);
    const wrong = await runInProcess(['plan', '-f', file('command: 7'), ...peer]);
    expect(wrong.status).toBe(2);
    expect(cluster.requests('planTasks')).toHaveLength(1);
  });
});
