/** Nodes die, all at once or the one that leads: what was acknowledged is there, and every task comes to its end. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import { FINAL_STATUSES } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf, submitBatch, type Batch } from '../support/workload.ts';

const COUNT = 50;
const LABEL = '&label=suite%3Dfailover';

/** Does a little, and leaves a trace outside. */
function shortTask(cluster: TestCluster): (key: string) => object {
  const trace = path.join(cluster.directory, 'trace');
  return (key) => ({
    name: key,
    command: ['sh', '-c', `sleep 0.3; echo "$JARVIS_TASK_ID" >> ${trace}`],
    labels: { suite: 'failover' },
  });
}

/** Every acknowledged task, and no other, is in the state once, COMPLETED, and has run. */
async function expectAllCompleted(cluster: TestCluster, batch: Batch): Promise<readonly TaskJson[]> {
  const ids = [...batch.acknowledged.values()];
  expect(new Set(ids).size).toBe(COUNT);
  const tasks = await waitFor('all tasks are over', async () => {
    const all = await cluster.api().tasks(LABEL);
    return all.length >= COUNT && all.every(({ status }) => FINAL_STATUSES.has(status)) && all;
  });
  expect(tasks.map(({ id }) => id).sort()).toEqual(ids.toSorted());
  expect(tasks.map(({ name }) => name).sort()).toEqual([...batch.acknowledged.keys()].sort());
  expect(tasks.filter(({ status }) => status !== 'COMPLETED')).toEqual([]);
  for (const task of tasks) {
    const completed = task.attempts.filter(({ status }) => status === 'COMPLETED');
    expect(completed).toHaveLength(1);
    expect(task.attempts.at(-1)).toMatchObject({ status: 'COMPLETED', attempt: task.attempt });
  }
  const ran = new Set(linesOf(path.join(cluster.directory, 'trace')));
  expect(ids.filter((id) => !ran.has(id))).toEqual([]);
  return tasks;
}

async function expectAvailable(cluster: TestCluster, name: string): Promise<void> {
  await waitFor(`${name} is AVAILABLE`, async () => {
    const nodes = await cluster.api().nodes();
    return nodes.find((node) => node.name === name)?.status === 'AVAILABLE';
  });
}

function incarnationOf(cluster: TestCluster, name: string): unknown {
  const file = path.join(cluster.node(name).settings.dataDir, 'identity.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>)['incarnation'];
}

describe('the leader is killed', () => {
  it('while 50 tasks are submitted and run: all complete, exactly once in the state', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const leader = await cluster.leader();
    const { term } = await cluster.api().cluster();
    const batch = submitBatch(cluster, { count: COUNT, lines: 5, spec: shortTask(cluster), pauseMs: 30 });
    await batch.atLeast(15);
    await cluster.kill(leader.name);
    const next = await cluster.leader({ not: leader.name, timeoutMs: 15_000 });
    expect(next.name).not.toBe(leader.name);
    expect((await cluster.api().cluster()).term).toBeGreaterThan(term);
    await batch.done;
    await expectAllCompleted(cluster, batch);

    const incarnation = incarnationOf(cluster, leader.name);
    await cluster.restart(leader.name);
    expect(incarnationOf(cluster, leader.name)).toBe(incarnation);
    await expectAvailable(cluster, leader.name);
    // It has the same state, from its own disk and the log since.
    const tasks = await leader.api.tasks(LABEL);
    expect(tasks).toEqual(await next.api.tasks(LABEL));
    expect(tasks).toHaveLength(COUNT);
  });

  it('again and again: each time another takes over', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const ids: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const leader = await cluster.leader();
      await cluster.kill(leader.name);
      await cluster.leader({ not: leader.name });
      ids.push((await cluster.api().submit({ command: ['true'] })).id);
      await cluster.restart(leader.name);
    }
    for (const id of ids) expect((await cluster.finalTask(id)).status).toBe('COMPLETED');
  });
});

describe('all nodes are killed at once', () => {
  it('in the middle of submits: nothing acknowledged is lost', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const batch = submitBatch(cluster, { count: COUNT, lines: 5, spec: shortTask(cluster), pauseMs: 30 });
    await batch.atLeast(20);
    for (const node of cluster.nodes) node.signal('SIGKILL');
    await Promise.all(cluster.nodes.map((node) => node.ended));
    const before = [...batch.acknowledged.values()];
    expect(before.length).toBeGreaterThanOrEqual(20);
    await cluster.start();
    for (const id of before) expect((await cluster.api().task(id)).id).toBe(id);
    await batch.done;
    await expectAllCompleted(cluster, batch);
  });

  it('while tasks run: those run on, and are not started again', async () => {
    // The nodes are back long before anybody is taken for dead.
    const cluster = await startCluster();
    const trace = path.join(cluster.directory, 'long-trace');
    const flag = path.join(cluster.directory, 'finish');
    const script = `echo "$JARVIS_TASK_ID" >> ${trace}; while [ ! -e ${flag} ]; do sleep 0.1; done; exit 5`;
    const spec = { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 } };
    const tasks = await Promise.all(cluster.nodes.map(() => cluster.api().submit(spec)));
    await waitFor('all of them run', () => linesOf(trace).length === tasks.length);
    for (const { id } of tasks) await cluster.task(id, ({ status }) => status === 'RUNNING');
    for (const node of cluster.nodes) node.signal('SIGKILL');
    await Promise.all(cluster.nodes.map((node) => node.ended));
    await cluster.start();
    for (const { id } of tasks) {
      expect(await cluster.api().task(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    }
    const [first] = tasks;
    await cluster.cli(['run', '--', 'touch', flag]);
    for (const { id } of tasks) {
      const task = await cluster.finalTask(id);
      expect(task).toMatchObject({ status: 'PERMANENTLY_FAILED', exit_code: 5, attempt: 1 });
    }
    expect(linesOf(trace).toSorted()).toEqual(tasks.map(({ id }) => id).sort());
    expect((await cluster.cli(['wait', first?.id ?? ''])).status).toBe(5);
  });
});
