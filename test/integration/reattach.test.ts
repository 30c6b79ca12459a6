/** A daemon is nothing that its tasks depend on: however often it ends, they go on, and none of their exits is missed. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { FINAL_STATUSES, type TaskJson } from '../support/api.ts';
import type { TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf, submitBatch } from '../support/workload.ts';

const RESTARTS = 20;
/** At every restart. */
const RUNNING = 100;
/** In each restart one ends as its daemon does, one while it is down, and one as it starts again. */
const ENDING_PER_RESTART = 3;
const COUNT = RUNNING + RESTARTS * ENDING_PER_RESTART;
const TIMEOUT_MS = 300_000;

interface Running {
  readonly id: string;
  readonly node: string;
  readonly pid: number;
  /** Which the test tells it to end with. */
  readonly exitCode: number;
}

it(
  `no attempt is restarted and no exit missed by ${RESTARTS} restarts under ${RUNNING} tasks`,
  async () => {
    const cluster = await startCluster({ killTasksOnExit: false });
    const tasks = await startTasks(cluster);
    const left = [...tasks];
    for (let restart = 0; restart < RESTARTS; restart += 1) {
      const node = cluster.nodes[restart % cluster.nodes.length] ?? cluster.nodes[0];
      const takeOne = (): Running => {
        const at = left.findIndex((task) => task.node === node?.name);
        const [task] = left.splice(at, at === -1 ? 0 : 1);
        if (task === undefined) throw new Error(`nothing is left on ${node?.name}`);
        return task;
      };
      release(cluster, takeOne());
      await node?.end(restart % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
      const alone = takeOne();
      release(cluster, alone);
      await waitFor(`the end of ${alone.id}`, () => !existsSync(`/proc/${alone.pid}`));
      node?.start();
      release(cluster, takeOne());
      await node?.ready();
    }
    expect(left).toHaveLength(RUNNING);
    const running = await tasksById(cluster);
    for (const { id } of left) expect(running.get(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    for (const task of left) release(cluster, task);

    const final = await waitFor('the end of all tasks', async () => {
      const found = await tasksById(cluster);
      return [...found.values()].every(({ status }) => FINAL_STATUSES.has(status)) && found;
    });
    const seen = tasks.map(({ id }) => {
      const { status, attempt, exit_code: exitCode } = final.get(id) ?? {};
      return { id, status, attempt, exitCode };
    });
    expect(seen).toEqual(
      tasks.map(({ id, exitCode }) => {
        return { id, status: exitCode === 0 ? 'COMPLETED' : 'PERMANENTLY_FAILED', attempt: 1, exitCode };
      }),
    );
    // Nothing was started in secret either.
    expect(linesOf(traceOf(cluster)).toSorted()).toEqual(
      tasks.map(({ id, exitCode, pid }) => `${exitCode} ${id} 1 ${pid}`).toSorted(),
    );
  },
  TIMEOUT_MS,
);

/** They write that they run, and then wait, at no cost, for the code to end with. */
async function startTasks(cluster: TestCluster): Promise<readonly Running[]> {
  const exitCodes = Array.from({ length: COUNT }, (_, at) => at);
  execFileSync(
    'mkfifo',
    exitCodes.map((exitCode) => orderFor(cluster, exitCode)),
  );
  const trace = traceOf(cluster);
  const specOf = (key: string): object => {
    const number = key.replace('key-', '');
    const order = orderFor(cluster, Number(number));
    const script = `echo "${number} $JARVIS_TASK_ID $JARVIS_ATTEMPT $$" >> ${trace}; read code < ${order}; exit "$code"`;
    return { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 } };
  };
  await submitBatch(cluster, { count: COUNT, lines: 8, spec: specOf }).done;
  await waitFor('the start of all tasks', () => linesOf(trace).length >= COUNT, { timeoutMs: 90_000 });
  const running = await waitFor('all tasks to be known as running', async () => {
    const found = await tasksById(cluster);
    return [...found.values()].every(({ status }) => status === 'RUNNING') && found;
  });
  return linesOf(trace).map((line) => {
    const [exitCode, id = '', , pid] = line.split(' ');
    return { id, node: running.get(id)?.node ?? '', pid: Number(pid), exitCode: Number(exitCode) };
  });
}

/** @throws Error (ENXIO) where it does not wait for that: it is not there any more, or was told already */
function release(cluster: TestCluster, { exitCode }: Running): void {
  const order = openSync(orderFor(cluster, exitCode), constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    writeSync(order, `${exitCode}\n`);
  } finally {
    closeSync(order);
  }
}

function orderFor(cluster: TestCluster, exitCode: number): string {
  return path.join(cluster.directory, `order-${exitCode}`);
}

function traceOf(cluster: TestCluster): string {
  return path.join(cluster.directory, 'trace');
}

async function tasksById(cluster: TestCluster): Promise<ReadonlyMap<string, TaskJson>> {
  return new Map((await cluster.api().tasks()).map((task) => [task.id, task]));
}
