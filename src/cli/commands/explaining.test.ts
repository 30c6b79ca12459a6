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
        'task-1 is PENDING, number 7 in the queue: no node can take it now:\n' +
        '  drain: 1 node is cordoned or drained; the nearest: node n3 is DRAINING\n' +
        '  resources: 2 nodes have too little cpu or memory left; the nearest: node n1 lacks 300m cpu\n',
      stderr: '',
      status: 0,
    });
    const { stdout } = await runInProcess(['explain', 'task-1', '-o', 'json', ...peer]);
    expect(JSON.parse(stdout)).toEqual({ id: 'task-1', status: 'PENDING', position: 7, reasons: REASONS });
    const described = await runInProcess(['describe', 'task-1', ...peer]);
    expect(described.stdout).toContain(
      'Why:\n  task-1 is PENDING, number 7 in the queue: no node can take it now:\n  drain: 1 node is',
    );
  });

  const error = { type: 'ExitCode', message: 'exit code 3' };
  it.each([
    ['PENDING', {}, 'task-1 is PENDING: a node has room for it, it is about to be placed.'],
    ['WAITING', { dependencies: ['a', 'b'] }, 'task-1 is WAITING: it waits until a, b have completed.'],
    ['WAITING', { dependencies: ['a'] }, 'task-1 is WAITING: it waits until a has completed.'],
    [
      'ASSIGNED',
      { node: 'n1', status_reason: 'pulling x: 4 %\u001b[2J' },
      'task-1 is ASSIGNED: it starts on n1 (pulling x: 4 %\\x1b[2J).',
    ],
    ['RUNNING', { node: 'n1', status_reason: 'stopping' }, 'task-1 is RUNNING on n1 (stopping).'],
    [
      'FAILED',
      { attempt: 2, error },
      'task-1 is FAILED: attempt 2 failed (ExitCode: exit code 3); it will be tried again.',
    ],
    [
      'PERMANENTLY_FAILED',
      { node: 'n1', error },
      'task-1 PERMANENTLY_FAILED on n1: ExitCode: exit code 3; it is over.',
    ],
    ['COMPLETED', { node: 'n1' }, 'task-1 COMPLETED on n1; it is over.'],
  ])('says in a sentence how it stands with one that is %s', async (status, fields, sentence) => {
    cluster.setTask(fakeTask({ id: 'task-1', status, ...fields }));
    cluster.explanation = { ...cluster.explanation, status };
    expect((await runInProcess(['explain', 'task-1', ...peer])).stdout).toBe(`${sentence}\n`);
  });

  it('says of one that waits for its turn what that depends on', async () => {
    cluster.setTask(fakeTask({ id: 'task-1' }));
    const waits = {
      filter: 'concurrency',
      excluded: 3,
      nearest_miss: 'waits for concurrency key db (1 of 1)',
    };
    cluster.explanation = { ...cluster.explanation, position: 1, reasons: [waits] };
    expect((await runInProcess(['explain', 'task-1', ...peer])).stdout).toBe(
      'task-1 is PENDING, number 1 in the queue: it is not its turn yet:\n' +
        '  concurrency: waits for concurrency key db (1 of 1)\n',
    );
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
        '+ a (3 times): 3 on n1\n- b: fits nowhere at present\n' +
        '    resources: 2 nodes have too little cpu or memory left; the nearest: node n1 lacks 300m cpu\n' +
        'Plan: 3 would run (3 on n1), 0 would wait for their turn, 1 fit nowhere. Nothing was changed; as of index 7.\n',
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

  it('shows those together whose names differ by a number, and each by itself with wide', async () => {
    const waits = { filter: 'max_parallel', excluded: 1, nearest_miss: 'it waits' };
    cluster.plan = {
      index: 7,
      items: [
        { name: 'part-0', count: 1, node: 'n1', reasons: [] },
        { name: 'part-1', count: 1, node: 'n2', reasons: [] },
        { name: 'part-2', count: 1, reasons: [waits] },
        { name: 'part-3', count: 1, node: 'n1', reasons: [] },
      ],
    };
    const args = ['plan', '-f', file('command: [x]'), ...peer];
    const summary = 'Plan: 3 would run (2 on n1, 1 on n2), 1 would wait for their turn, 0 fit nowhere.';
    expect(await runInProcess(args)).toMatchObject({
      stdout: expect.stringMatching(
        /^\+ part-\* \(3 times\): 2 on n1, 1 on n2\n~ part-2: waits for its turn\n    max_parallel: it waits\n/,
      ) as string,
      status: 0,
    });
    const { stdout } = await runInProcess([...args, '-o', 'wide']);
    expect(stdout.split('\n').filter((line) => /^[+~-]/.test(line))).toEqual([
      '+ part-0: n1',
      '+ part-1: n2',
      '~ part-2: waits for its turn',
      '+ part-3: n1',
    ]);
    expect(stdout).toContain(summary);
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
