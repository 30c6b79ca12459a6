/** Three nodes as Prometheus reads them: what each tells, that sums over them are right, and who leads makes no difference. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { FAMILY_GROUPS } from '../../src/metrics/families/table.ts';
import type { TaskJson } from '../support/api.ts';
import { TestCluster } from '../support/cluster.ts';
import { promtoolObstacle, promtoolSays, scrape, sumOf, valuesOf, type Scrape } from '../support/metrics.ts';
import { waitFor } from '../support/wait.ts';

const NAMES = ['n1', 'n2', 'n3'];
const DEPTH = 'scheduler_queue_depth';
/** No node has so much: such a task waits. */
const TOO_LARGE = { cpu: 64 };
const WAITING = 4;
/** What a task may call its own failure; the cluster has heard of none of them. */
const ODD_TYPES = ['OddError', 'x'.repeat(200), 'task-0123456789abc', '{"}', 'constructor'];

const obstacle = promtoolObstacle();
if (obstacle !== null) process.stderr.write(`SKIPPED: what promtool says of metrics: ${obstacle}\n`);

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.create();
  await cluster.startOrTell();
});

afterAll(async () => {
  await cluster.dispose();
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(cluster.logTails());
});

async function scrapeAll(): Promise<readonly Scrape[]> {
  return await Promise.all(cluster.nodes.map(scrape));
}

async function submit(script: string, more: object = {}): Promise<string> {
  const spec = { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 }, ...more };
  return (await cluster.api().submit(spec)).id;
}

/** Tasks that end well, that fail in known and in odd ways, and that fail twice. @returns them all, once they are over */
async function work(): Promise<readonly TaskJson[]> {
  const twice = { retry_policy: { max_attempts: 2, backoff_strategy: 'fixed', backoff_base: 0.1 } };
  const odd = ODD_TYPES.map((type) => {
    const error = JSON.stringify({ type, message: '' });
    return submit(`printf %s "$ERROR" > "$JARVIS_ERROR_FILE"; exit 1`, { env: { ERROR: error } });
  });
  const ids = await Promise.all([
    ...Array.from({ length: 6 }, () => submit('true')),
    submit('exit 3'),
    submit('exit 65'),
    submit('kill -9 $$'),
    submit('exit 3', twice),
    ...odd,
  ]);
  return await Promise.all(ids.map((id) => cluster.finalTask(id)));
}

/** What the nodes tell together. */
function toldBy(scrapes: readonly Scrape[]) {
  const failures = (type: string): number => sumOf(scrapes, 'task_failures_total', { error_type: type });
  const finished = (status: string): number => sumOf(scrapes, 'jarvis_tasks_finished_total', { status });
  return {
    scheduled: sumOf(scrapes, 'scheduler_tasks_scheduled_total'),
    latencies: sumOf(scrapes, 'scheduler_latency_seconds_count'),
    waits: sumOf(scrapes, 'jarvis_queue_wait_seconds_count'),
    durations: sumOf(scrapes, 'task_duration_seconds_count'),
    ended: sumOf(scrapes, 'jarvis_attempts_finished_total'),
    failures: ['ExitCode', 'InvalidInput', 'Signal', 'Other'].map(failures),
    completed: finished('COMPLETED'),
    failed: finished('PERMANENTLY_FAILED'),
    exhausted: sumOf(scrapes, 'jarvis_tasks_retries_exhausted_total'),
  };
}

/** The same as the tasks themselves say it. */
function toldOf(tasks: readonly TaskJson[]): ReturnType<typeof toldBy> {
  const attempts = tasks.flatMap((task) => task.attempts);
  const failures = (types: readonly string[]): number =>
    attempts.filter(({ status, error }) => status === 'FAILED' && types.includes(error?.type ?? '')).length;
  const count = attempts.length;
  return {
    scheduled: count,
    latencies: count,
    waits: count,
    durations: count,
    ended: count,
    failures: [['ExitCode'], ['InvalidInput'], ['Signal'], ODD_TYPES].map(failures),
    completed: tasks.filter(({ status }) => status === 'COMPLETED').length,
    failed: tasks.filter(({ status }) => status === 'PERMANENTLY_FAILED').length,
    exhausted: tasks.filter(({ retry_count: retries }) => retries > 0).length,
  };
}

/** Policies of tasks are looked up: all is counted a moment after the last of them is over. */
async function toldOnceCounted({ exhausted }: ReturnType<typeof toldOf>) {
  return await waitFor('what was given up to be counted', async () => {
    const told = toldBy(await scrapeAll());
    return told.exhausted >= exhausted && told;
  });
}

describe('the metrics of three nodes', () => {
  it('are on each node the families of the table, with their types', async () => {
    const families = FAMILY_GROUPS.flatMap((group) => group.families);
    const wanted = new Map<string, string>(families.map(({ name, type }) => [name, type]));
    for (const { types } of await scrapeAll()) expect(types).toEqual(wanted);
  });

  it('have the names, types and labels of use case 7', async () => {
    const done = await work();
    expect(done.some(({ status }) => status === 'COMPLETED')).toBe(true);
    const scrapes = await waitFor('usage to be measured', async () => {
      const found = await scrapeAll();
      return valuesOf(found, 'worker_cpu_usage_percent').length === NAMES.length && found;
    });
    const labelsOf = (name: string): readonly string[] => [
      ...new Set(
        scrapes.flatMap(({ samples }) =>
          samples.filter((one) => one.name === name).map(({ labels }) => Object.keys(labels).join()),
        ),
      ),
    ];
    for (const { types } of scrapes)
      expect(Object.fromEntries(types)).toMatchObject({
        scheduler_queue_depth: 'gauge',
        scheduler_tasks_scheduled_total: 'counter',
        scheduler_latency_seconds: 'histogram',
        worker_cpu_usage_percent: 'gauge',
        worker_memory_bytes: 'gauge',
        worker_active_tasks: 'gauge',
        task_duration_seconds: 'histogram',
        task_failures_total: 'counter',
      });
    for (const name of ['scheduler_queue_depth', 'scheduler_tasks_scheduled_total'])
      expect(labelsOf(name)).toEqual(['']);
    for (const name of ['scheduler_latency_seconds', 'task_duration_seconds']) {
      expect(labelsOf(`${name}_bucket`)).toEqual(['le']);
      expect(labelsOf(`${name}_sum`)).toEqual(['']);
    }
    for (const name of ['worker_cpu_usage_percent', 'worker_memory_bytes', 'worker_active_tasks']) {
      expect(labelsOf(name)).toEqual(['node_id']);
      for (const node of NAMES) expect(valuesOf(scrapes, name, { node_id: node })).toHaveLength(1);
    }
    expect(labelsOf('task_failures_total')).toEqual(['error_type']);
  });

  it('add up over the nodes', async () => {
    const wanted = toldOf(await cluster.api().tasks());
    expect(await toldOnceCounted(wanted)).toEqual(wanted);
  });

  it('have labels whose values are few and known', async () => {
    const scrapes = await scrapeAll();
    const values = new Set(
      scrapes.flatMap(({ samples }) =>
        samples
          .filter(({ name, value }) => name === 'task_failures_total' && value > 0)
          .map(({ labels }) => labels['error_type']),
      ),
    );
    expect(values).toEqual(new Set(['ExitCode', 'InvalidInput', 'Other', 'Signal']));
    for (const { text } of scrapes) expect(text).not.toMatch(/task-[0-9a-z]{13}|OddError|xxxx|constructor/);
    // Also of paths that there are not, and of one call for each of many tasks.
    const before = scrapes[0]?.samples.length ?? 0;
    const api = cluster.nodes[0]?.api;
    const tasks = await cluster.api().tasks();
    for (const { id } of tasks) await api?.task(id);
    for (const one of ['/x', '/y/z', '/tasks/none']) await api?.call('GET', one, null);
    const [after] = await scrapeAll();
    const routes = (after?.samples ?? [])
      .map(({ labels }) => labels['route'])
      .filter((one) => one !== undefined);
    expect(new Set(routes)).toContain('none');
    expect([...new Set(routes)].filter((one) => !/^(none|\/[a-z/:-]*)$/.test(one))).toEqual([]);
    expect((after?.samples.length ?? 0) - before).toBeLessThan(200);
  });

  it.skipIf(obstacle !== null)('leave promtool nothing to say', async () => {
    for (const { text } of await scrapeAll()) expect(promtoolSays(text)).toEqual({ status: 0, output: '' });
  });

  it('tell the queue on the leader alone, also once another one leads', async () => {
    const large = await Promise.all(
      Array.from({ length: WAITING }, () => submit('true', { resources: TOO_LARGE })),
    );
    const first = await cluster.leader();
    const depths = async (): Promise<Readonly<Record<string, readonly number[]>>> => {
      const scrapes = await scrapeAll();
      return Object.fromEntries(
        cluster.nodes.map(({ name }, at) => [name, valuesOf(scrapes.slice(at, at + 1), DEPTH)]),
      );
    };
    const only = (leader: string) =>
      Object.fromEntries(NAMES.map((name) => [name, name === leader ? [WAITING] : []]));
    expect(await depths()).toEqual(only(first.name));
    const [heir] = await cluster.followers();
    expect(await cluster.cli(['cluster', 'transfer', heir?.name ?? ''])).toMatchObject({ status: 0 });
    const second = await cluster.leader({ not: first.name });
    const seen = await waitFor('the new leader to tell the queue', async () => {
      const found = await depths();
      return Object.values(found).flat().length > 0 && found[first.name]?.length === 0 && found;
    });
    expect(seen).toEqual(only(second.name));
    // What the first leader has counted it still tells, and the second goes on from there.
    const scrapes = await scrapeAll();
    expect(sumOf(scrapes, 'jarvis_raft_is_leader')).toBe(1);
    expect(sumOf(scrapes, 'jarvis_nodes', { status: 'AVAILABLE' })).toBe(NAMES.length);
    for (const id of large) await cluster.api().cancel(id);
    await work();
    const tasks = (await cluster.api().tasks()).filter(({ status }) => status !== 'CANCELLED');
    const wanted = toldOf(tasks);
    expect(await toldOnceCounted(wanted)).toEqual(wanted);
  });
});
