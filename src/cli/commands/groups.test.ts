import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Batch, Dag, DagTask } from '../../generated/cluster.ts';
import type { ChangeGroupRequest, ListTasksRequest } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { FakeCluster } from '../fake-cluster.test-kit.ts';
import { runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;
let peer: string[];

beforeEach(async () => {
  cluster = await FakeCluster.start();
  peer = ['--peer', cluster.address];
});
afterEach(() => cluster.stop());

const counts = { COMPLETED: 7, RUNNING: 1, ASSIGNED: 1, PENDING: 1 };

function batch(changes: Partial<Batch> = {}): Batch {
  return {
    ...Batch.create({ id: 'batch-a', name: 'mine', status: 'RUNNING', size: 10, counts }),
    ...changes,
  };
}

const etl = Dag.create({
  id: 'dag-a',
  name: 'etl',
  status: 'RUNNING',
  size: 3,
  tasks: [
    DagTask.create({ dag_task: 'load', status: 'WAITING', dependencies: ['extract', 'transform'] }),
    DagTask.create({ dag_task: 'transform', status: 'RUNNING', dependencies: ['extract'] }),
    DagTask.create({ dag_task: 'extract', status: 'COMPLETED' }),
  ],
});

describe('batch', () => {
  it('is listed with its counts, and shown', async () => {
    cluster.groups.batch = () => batch();
    const listed = await runInProcess(['batch', 'ls', ...peer]);
    expect(listed.stdout).toMatch(/batch-a +mine +RUNNING +10 +7 +2 +1 +0/);
    const got = await runInProcess(['batch', 'get', 'batch-a', '-o', 'json', ...peer]);
    expect(JSON.parse(got.stdout)).toMatchObject({ id: 'batch-a', counts, max_parallel: null });
  });

  it('is waited for, and its end is the exit status', async () => {
    let asked = 0;
    cluster.groups.batch = () => {
      asked += 1;
      return batch(asked < 3 ? {} : { status: 'COMPLETED' });
    };
    // The stream breaks off after the first news: it is taken up again.
    cluster.eventsSince = () => [{ events: [], position: '7', complete: false }];
    const done = await runInProcess(['batch', 'wait', 'batch-a', ...peer]);
    expect(done).toMatchObject({ status: 0, stdout: 'batch-a COMPLETED\n' });
    const followed = { since: '', follow: true, kind: ['batch'], id: ['batch-a'] };
    expect(cluster.requests('watchEvents')).toEqual([followed, followed]);
    cluster.groups.batch = () => batch({ status: 'FAILED', status_reason: '1 of 10 tasks failed' });
    const failed = await runInProcess(['batch', 'wait', 'batch-a', ...peer]);
    expect(failed).toMatchObject({ status: 1, stdout: 'batch-a FAILED: 1 of 10 tasks failed\n' });
    cluster.groups.batch = () => batch();
    const late = await runInProcess(['batch', 'wait', 'batch-a', '--timeout', '100ms', ...peer]);
    expect(late.status).toBe(124);
  });

  it('is waited for also where the node follows events for too many others', async () => {
    let asked = 0;
    cluster.groups.batch = () => {
      asked += 1;
      return batch(asked < 3 ? {} : { status: 'COMPLETED' });
    };
    cluster.before = ({ method }) => {
      if (method === 'watchEvents') throw new JarvisError('too_many', '256 streams of events are open');
    };
    const done = await runInProcess(['batch', 'wait', 'batch-a', ...peer]);
    expect(done).toMatchObject({ status: 0, stdout: 'batch-a COMPLETED\n' });
  });

  it('is cancelled and begun anew, each with a key', async () => {
    await runInProcess(['batch', 'cancel', 'batch-a', ...peer]);
    await runInProcess(['batch', 'retry', 'batch-a', ...peer]);
    for (const method of ['cancelBatch', 'retryBatch']) {
      const [request] = cluster.requests<ChangeGroupRequest>(method);
      expect(request).toMatchObject({ id: 'batch-a' });
      expect(request?.idempotency_key).not.toBe('');
    }
  });

  it('picks the tasks of a list', async () => {
    await runInProcess(['ls', '--batch', 'batch-a', ...peer]);
    await runInProcess(['ls', '--dag', 'etl', ...peer]);
    expect(cluster.requests<ListTasksRequest>('listTasks')).toMatchObject([
      { batch_id: 'batch-a', dag_id: '' },
      { batch_id: '', dag_id: 'etl' },
    ]);
  });
});

describe('dag graph', () => {
  beforeEach(() => {
    cluster.groups.dag = () => etl;
  });

  it('shows each task below what it depends on', async () => {
    const { stdout } = await runInProcess(['dag', 'graph', 'etl', ...peer]);
    expect(stdout).toBe(
      'extract COMPLETED\n  transform RUNNING after extract\n    load WAITING after extract, transform\n',
    );
  });

  it('breaks long lines between words on a terminal, but none of those that programs read', async () => {
    const dependencies = Array.from({ length: 12 }, (_, at) => `dependency-${at}`);
    const tasks = [DagTask.create({ dag_task: 'load', status: 'WAITING', dependencies })];
    cluster.groups.dag = () => ({ ...etl, name: 'n'.repeat(99), tasks });
    const text = await runInProcess(['dag', 'graph', 'etl', ...peer], { rows: 24 });
    expect(text.stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(text.stdout).toMatch(/^load WAITING after dependency-0, .*,\n {2}dependency-\d/);
    const dot = await runInProcess(['dag', 'graph', 'etl', '--format', 'dot', ...peer], { rows: 24 });
    expect(dot.stdout).toContain(`digraph "${'n'.repeat(99)}" {\n`);
  });

  it('speaks Mermaid and DOT', async () => {
    const mermaid = await runInProcess(['dag', 'graph', 'etl', '--format', 'mermaid', ...peer]);
    expect(mermaid.stdout).toContain('graph LR\n  t0["load"]:::WAITING\n');
    expect(mermaid.stdout).toContain('  t2 --> t0\n  t1 --> t0\n  t2 --> t1\n');
    const dot = await runInProcess(['dag', 'graph', 'etl', '--format', 'dot', ...peer]);
    expect(dot.stdout).toContain('digraph "etl" {');
    expect(dot.stdout).toContain('  "extract" -> "transform";\n');
    // Graphviz takes no colour of three digits.
    const colours = [...dot.stdout.matchAll(/fillcolor="([^"]*)"/g)].map(([, colour]) => colour);
    expect(colours).not.toEqual([]);
    for (const colour of colours) expect(colour).toMatch(/^#[0-9a-f]{6}$/);
  });
});
