/**
 * Use cases 2 and 6 on three real nodes: a batch that is shared between them, and a pipeline that runs in order, each
 * with another leader in the middle of it. And a batch so large that its rows are made while the leader changes.
 */
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

const EXAMPLES = path.join(import.meta.dirname, '../../examples');

interface GroupJson {
  readonly id: string;
  readonly status: string;
  readonly size: number;
  readonly counts: Readonly<Record<string, number>>;
}

interface DagJson extends GroupJson {
  readonly tasks: readonly {
    readonly id: string;
    readonly dag_task: string;
    readonly status: string;
    readonly started_at: string | null;
    readonly finished_at: string | null;
  }[];
}

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.create({ heartbeat: SHORT_HEARTBEAT });
  await cluster.startOrTell();
});

afterAll(async () => {
  await cluster.dispose();
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

async function post<T>(url: string, body: object, key?: string): Promise<T> {
  const answer = await cluster
    .api()
    .call('POST', url, JSON.stringify(body), key === undefined ? {} : { key });
  expect(answer).toMatchObject({ status: 201 });
  return JSON.parse(answer.text) as T;
}

/** Another node leads when this resolves. @returns the terms before and after */
async function changeLeader(): Promise<{ readonly before: number; readonly after: number }> {
  const leader = await cluster.leader();
  const { term: before } = await leader.api.cluster();
  const transfer = await cluster.cli(['cluster', 'transfer']);
  expect(transfer).toMatchObject({ status: 0 });
  await cluster.leader({ not: leader.name });
  const { term: after } = await cluster.api().cluster();
  return { before, after };
}

/** What a task says of itself outside the cluster, and what is on record of each of its attempts. */
const TOLD = '$JARVIS_ATTEMPT $JARVIS_NODE';

function attemptsOf({ attempts }: TaskJson): readonly string[] {
  return attempts.map(({ attempt, node }) => `${attempt} ${node}`);
}

function countBy(tasks: readonly TaskJson[], key: (task: TaskJson) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const task of tasks) counts[key(task)] = (counts[key(task)] ?? 0) + 1;
  return counts;
}

function sharesOf(tasks: readonly TaskJson[]): readonly number[] {
  return Object.values(countBy(tasks, ({ node }) => node ?? 'none')).sort((a, b) => a - b);
}

describe('use case 2: a batch of ten tasks on three nodes', () => {
  it('lands 3, 3 and 4, with another leader while nine of them run and one is queued', async () => {
    const go = path.join(cluster.directory, 'batch-may-end');
    const trace = path.join(cluster.directory, 'batch-trace');
    const script = `echo "$JARVIS_BATCH_ID $JARVIS_BATCH_INDEX ${TOLD}" >> ${trace}; while [ ! -e ${go} ]; do sleep 0.05; done`;
    const tasks = Array.from({ length: 10 }, (_, at) => ({
      name: `Task${at + 1}`,
      command: ['sh', '-c', script],
    }));
    const submitted = await post<{ batch_id: string; tasks: { id: string; name: string }[] }>(
      '/tasks/batch',
      { name: 'ten', tasks, max_parallel: 9 },
    );
    const { batch_id: id } = submitted;
    expect(submitted.tasks.map(({ name }) => name)).toEqual(tasks.map(({ name }) => name));
    const members = (): Promise<readonly TaskJson[]> => cluster.api().tasks(`&batch_id=${id}`);
    const under = { RUNNING: 9, PENDING: 1 };
    const before = await waitFor('nine of them run', async () => {
      const now = await members();
      return countBy(now, ({ status }) => status)['RUNNING'] === 9 && now;
    });
    expect(countBy(before, ({ status }) => status)).toEqual(under);
    expect(sharesOf(before.filter(({ node }) => node !== null))).toEqual([3, 3, 3]);

    const terms = await changeLeader();
    expect(terms.after).toBeGreaterThan(terms.before);
    expect(countBy(await members(), ({ status }) => status)).toEqual(under);

    await cluster.cli(['run', '--', 'touch', go]);
    const waited = await cluster.cli(['batch', 'wait', id, '--timeout', '60s']);
    expect(waited).toMatchObject({ status: 0, stdout: `${id} COMPLETED\n` });
    const after = await members();
    expect(after.map(({ status }) => status)).toEqual(tasks.map(() => 'COMPLETED'));
    expect(sharesOf(after)).toEqual([3, 3, 4]);
    // What they themselves wrote agrees: each ran once, and where it is on record to have run.
    const recorded = after.map((task) => `${id} ${task.batch_index} ${attemptsOf(task).join()}`);
    expect(after.every(({ attempt, attempts }) => attempt === 1 && attempts.length === 1)).toBe(true);
    expect(linesOf(trace).toSorted()).toEqual(recorded.sort());
    expect(await cluster.api().get<GroupJson>(`/batches/${id}`)).toMatchObject({
      status: 'COMPLETED',
      size: 10,
      counts: { COMPLETED: 10 },
    });
  });

  it('lands 3, 3 and 4 as the example, all at once', async () => {
    const file = path.join(EXAMPLES, 'batch.yaml');
    const submitted = await cluster.cli(['submit', '-f', file, '-o', 'name']);
    const id = submitted.stdout.trim();
    expect(await cluster.cli(['batch', 'wait', id, '--timeout', '60s'])).toMatchObject({ status: 0 });
    const tasks = await cluster.api().tasks(`&batch_id=${id}`);
    expect(sharesOf(tasks)).toEqual([3, 3, 4]);
    const [last] = tasks;
    expect(last).toMatchObject({ name: 'part-9' });
    const logs = await cluster.cli(['logs', last?.id ?? '']);
    expect(logs.stdout).toBe(`part 9 of batch ${id}\n`);
    const listed = await cluster.cli(['ls', '--batch', id.slice(0, 12), '-o', 'name']);
    expect(listed.stdout.trim().split('\n')).toHaveLength(10);
  });
});

describe('use case 6: extract, transform, load', () => {
  it('run in order, with another leader while the first of them runs and the others wait or are queued', async () => {
    const go = path.join(cluster.directory, 'extract-may-end');
    const trace = path.join(cluster.directory, 'etl-trace');
    const write = (name: string): string => `echo "${name} $JARVIS_DAG_ID ${TOLD}" >> ${trace}`;
    const extract = `${write('extract')}; while [ ! -e ${go} ]; do sleep 0.05; done`;
    const dag = await post<DagJson>('/tasks/dag', {
      name: 'etl-pipeline',
      // What depends on nothing is queued behind it.
      max_parallel: 1,
      tasks: [
        { id: 'extract', command: ['sh', '-c', extract], dependencies: [] },
        { id: 'transform', command: ['sh', '-c', write('transform')], dependencies: ['extract'] },
        { id: 'load', command: ['sh', '-c', write('load')], dependencies: ['transform'] },
        { id: 'audit', command: ['sh', '-c', write('audit')] },
      ],
    });
    const now = (): Promise<DagJson> => cluster.api().get<DagJson>('/dags/etl-pipeline');
    const statuses = async (): Promise<readonly string[]> => (await now()).tasks.map(({ status }) => status);
    await waitFor('extract runs', async () => (await statuses())[0] === 'RUNNING');
    const under = ['RUNNING', 'WAITING', 'WAITING', 'PENDING'];
    expect(await statuses()).toEqual(under);

    const terms = await changeLeader();
    expect(terms.after).toBeGreaterThan(terms.before);
    expect(await statuses()).toEqual(under);

    await cluster.cli(['run', '--', 'touch', go]);
    const waited = await cluster.cli(['dag', 'wait', 'etl-pipeline', '--timeout', '60s']);
    expect(waited).toMatchObject({ status: 0, stdout: `${dag.id} COMPLETED\n` });
    const done = await now();
    expect(done).toMatchObject({ id: dag.id, status: 'COMPLETED', counts: { COMPLETED: 4 } });
    // Each ran once, in its order, and where it is on record to have run.
    const tasks = await Promise.all(done.tasks.map((task) => cluster.api().task(task.id)));
    expect(tasks.map(({ name }) => name)).toEqual(['extract', 'transform', 'load', 'audit']);
    expect(linesOf(trace)).toEqual(tasks.map((task) => `${task.name} ${dag.id} ${attemptsOf(task).join()}`));
    for (const [at, task] of done.tasks.entries()) {
      const previous = done.tasks[at - 1]?.finished_at ?? '';
      expect((task.started_at ?? '') >= previous).toBe(true);
    }
    expect(await cluster.api().tasks('&dag_id=etl-pipeline')).toHaveLength(4);
  });

  it('is the example, and its graph can be looked at', async () => {
    const file = path.join(EXAMPLES, 'etl-pipeline.yaml');
    const submitted = await cluster.cli(['submit', '-f', file, '-o', 'name']);
    expect(await cluster.cli(['dag', 'wait', submitted.stdout.trim(), '--timeout', '60s'])).toMatchObject({
      status: 0,
    });
    const graph = await cluster.cli(['dag', 'graph', 'etl-pipeline']);
    expect(graph.stdout).toBe(
      'extract COMPLETED\n  transform COMPLETED after extract\n    load COMPLETED after transform\n',
    );
  });

  it('skips what is below a failure, and goes on from there when it is begun anew', async () => {
    const flag = path.join(cluster.directory, 'transform-may-succeed');
    const once = { retry_policy: { max_attempts: 1 } };
    const { id } = await post<DagJson>('/tasks/dag', {
      name: 'failing',
      tasks: [
        { id: 'extract', command: ['true'], ...once },
        { id: 'transform', command: ['test', '-e', flag], dependencies: ['extract'], ...once },
        { id: 'load', command: ['true'], dependencies: ['transform'], ...once },
      ],
    });
    expect(await cluster.cli(['dag', 'wait', 'failing', '--timeout', '60s'])).toMatchObject({ status: 1 });
    const failed = await cluster.api().get<DagJson>(`/dags/${id}`);
    expect(failed.tasks.map(({ status }) => status)).toEqual(['COMPLETED', 'PERMANENTLY_FAILED', 'SKIPPED']);
    await cluster.cli(['run', '--', 'touch', flag]);
    expect(await cluster.cli(['dag', 'retry', 'failing'])).toMatchObject({ status: 0 });
    expect(await cluster.cli(['dag', 'wait', 'failing', '--timeout', '60s'])).toMatchObject({ status: 0 });
    const extract = await cluster.api().task(failed.tasks[0]?.id ?? '');
    expect(extract.attempt).toBe(1);
  });
});

describe('a batch of 20,000 tasks from one template', () => {
  it('is whole from the beginning, also where the leader changes while its rows are made', async () => {
    const body = {
      // No node can hold them: nothing of it runs.
      template: {
        name: 'large-{{index}}',
        command: ['echo', '{{index}}'],
        resources: { cpu: '1000' },
      },
      count: 20_000,
    };
    const { term } = await cluster.api().cluster();
    const submitted = await post<{ batch_id: string; tasks: { id: string; name: string }[] }>(
      '/tasks/batch',
      body,
      'large',
    );
    const { batch_id: id } = submitted;
    expect(submitted.tasks).toHaveLength(20_000);
    const last = submitted.tasks.at(-1);
    const unmade = await cluster.api().task(last?.id ?? '');
    expect(unmade).toMatchObject({ name: 'large-19999', status: 'PENDING' });
    const terms = await changeLeader();
    expect(terms.after).toBeGreaterThan(term);
    expect(await cluster.api().get<GroupJson>(`/batches/${id}`)).toMatchObject({
      size: 20_000,
      counts: { PENDING: 20_000 },
    });
    const tasks = await cluster.api().tasks(`&batch_id=${id}`);
    expect(tasks.map((task) => task.id).reverse()).toEqual(submitted.tasks.map((task) => task.id));

    const cancelled = await cluster.api().call('DELETE', `/batches/${id}`, null);
    expect(cancelled.status).toBe(200);
    expect(await cluster.cli(['batch', 'wait', id, '--timeout', '60s'])).toMatchObject({ status: 1 });
    expect(await cluster.api().get<GroupJson>(`/batches/${id}`)).toMatchObject({
      status: 'CANCELLED',
      counts: { CANCELLED: 20_000 },
    });
    const ends = await cluster.api().tasks(`&batch_id=${id}&status=CANCELLED&name=large-7`);
    expect(ends.map(({ status }) => FINAL_STATUSES.has(status))).toEqual([true]);
    // Once per key, long after.
    expect(await post<{ batch_id: string }>('/tasks/batch', body, 'large')).toMatchObject({ batch_id: id });
  });
});
