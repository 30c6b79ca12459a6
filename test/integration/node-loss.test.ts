/** A node is lost with what runs on it: what becomes of that is what each task asked for, and what an operator vouches for. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { NodeJson, TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { endProcessesOf } from '../support/processes.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

/** Tasks are spread: the other nodes are filled up first. */
const MOST_TRIES = 24;

type OnNodeLoss = 'reschedule' | 'fail' | 'wait';

/** Writes its number to a file of its own over and over, until the file `go-NAME` is there. */
function beating(cluster: TestCluster, name: string, onNodeLoss: OnNodeLoss): object {
  const [go, beats] = [`go-${name}`, `beats-${name}`].map((file) => path.join(cluster.directory, file));
  const script = `while [ ! -e ${go} ]; do echo $JARVIS_ATTEMPT >> ${beats}; sleep 0.1; done`;
  return { name, command: ['sh', '-c', script], on_node_loss: onNodeLoss };
}

function beatsOf(cluster: TestCluster, { name }: TaskJson): readonly string[] {
  return linesOf(path.join(cluster.directory, `beats-${name}`));
}

/** Lets the task end. */
function finish(cluster: TestCluster, { name }: TaskJson): void {
  writeFileSync(path.join(cluster.directory, `go-${name}`), '');
}

/** A task that runs on that node; those that were placed elsewhere first are cancelled. */
async function runOn(cluster: TestCluster, node: string, onNodeLoss: OnNodeLoss): Promise<TaskJson> {
  const elsewhere: string[] = [];
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const name = `${onNodeLoss}-${randomUUID()}`;
    const { id } = await cluster.api().submit(beating(cluster, name, onNodeLoss));
    const task = await cluster.task(id, ({ status }) => status === 'RUNNING');
    if (task.node === node) {
      for (const other of elsewhere) await cluster.api().cancel(other);
      return task;
    }
    elsewhere.push(id);
  }
  throw new Error(`nothing was placed on ${node}`);
}

async function nodeOf(cluster: TestCluster, name: string): Promise<NodeJson | undefined> {
  return (await cluster.api().nodes()).find((node) => node.name === name);
}

async function become(cluster: TestCluster, name: string, status: string): Promise<void> {
  await waitFor(`${name} is ${status}`, async () => (await nodeOf(cluster, name))?.status === status);
}

/** Events of the node that leaders have written to their logs, in the order of their time. */
function eventsOf(cluster: TestCluster, name: string): readonly string[] {
  const lines = cluster.nodes.flatMap(({ settings }) => linesOf(settings.logFile));
  return lines
    .map((line) => JSON.parse(line) as { time: number; event?: string; worker?: string })
    .filter(({ event, worker }) => event !== undefined && worker === name)
    .sort((a, b) => a.time - b.time)
    .map(({ event = '' }) => event);
}

describe('a node is lost whose tasks live on', () => {
  it('though it led: each task does what its on_node_loss says, and goes on where it can when the node is back', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { name: lost } = await cluster.leader();
    const moves = await runOn(cluster, lost, 'reschedule');
    const fails = await runOn(cluster, lost, 'fail');
    const waits = await runOn(cluster, lost, 'wait');
    const ends = await runOn(cluster, lost, 'wait');
    const stops = await runOn(cluster, lost, 'wait');

    // Its watchdog, and with it the processes, go on.
    await cluster.kill(lost);
    await become(cluster, lost, 'OFFLINE');
    const moved = await cluster.task(moves.id, ({ status }) => status === 'RUNNING');
    expect(moved).toMatchObject({
      attempt: 2,
      attempts: [{ status: 'LOST', node: lost, error: { type: 'NodeLost' } }, { status: 'RUNNING' }],
    });
    expect(moved.node).not.toBe(lost);
    expect(await cluster.finalTask(fails.id)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      attempts: [{ status: 'LOST', error: { type: 'NodeLost', message: `node ${lost} is offline` } }],
    });
    const waiting = { status: 'RUNNING', node: lost, attempt: 1 };
    for (const { id } of [waits, ends]) {
      expect(await cluster.api().task(id)).toMatchObject({
        ...waiting,
        status_reason: `waiting for node ${lost}, which is offline`,
      });
    }
    const stopping = { ...waiting, status_reason: 'stopping' };
    expect(await cluster.api().cancel(stops.id)).toMatchObject(stopping);
    finish(cluster, ends);
    expect(eventsOf(cluster, lost).slice(-2)).toEqual(['node.unhealthy', 'node.offline']);

    await cluster.restart(lost);
    await become(cluster, lost, 'AVAILABLE');
    const back = await cluster.task(waits.id, ({ status_reason: reason }) => reason === null);
    expect(back).toMatchObject(waiting);
    // What it came to while nobody watched.
    expect(await cluster.finalTask(ends.id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(await cluster.finalTask(stops.id)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
    // The orphan is stopped: only the newer attempt goes on.
    await waitFor('the orphan is stopped', () => {
      const newest = beatsOf(cluster, moves).slice(-10);
      return newest.length === 10 && newest.every((attempt) => attempt === '2');
    });
    finish(cluster, waits);
    finish(cluster, moves);
    for (const [{ id }, attempt] of [
      [waits, 1],
      [moves, 2],
    ] as const)
      expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt });
    for (const task of [waits, ends, stops]) expect(new Set(beatsOf(cluster, task))).toEqual(new Set(['1']));
  });
});

describe('a node is gone for good', () => {
  it('an operator vouches for that, and what waited for it moves', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const [gone] = (await cluster.followers()).map(({ name }) => name).toSorted();
    if (gone === undefined) throw new Error('there are followers');
    const waits = await runOn(cluster, gone, 'wait');
    const stops = await runOn(cluster, gone, 'wait');
    const remove = (...args: string[]) => cluster.cli(['node', 'remove', gone, ...args]);
    // It is alive: nobody's word is taken for that.
    const alive = await remove('--dead');
    expect(alive).toMatchObject({ status: 1, stdout: '' });
    expect(alive.stderr).toMatch(/still answers: it was heard of [\d.]+ s ago, at 20.*silent for 1 s/);
    expect((await remove()).stderr).toMatch(/is not removed: it is AVAILABLE.*2 tasks are on it \(task-/);

    await cluster.kill(gone);
    await endProcessesOf(path.join(cluster.directory, gone));
    await become(cluster, gone, 'OFFLINE');
    expect((await remove()).stderr).toMatch(/is not removed: 2 tasks are on it/);
    await cluster.api().cancel(stops.id);
    expect(await cluster.api().task(stops.id)).toMatchObject({
      status: 'RUNNING',
      status_reason: 'stopping',
    });

    const removed = await remove('--dead', '-o', 'json');
    expect(removed.status).toBe(0);
    expect(JSON.parse(removed.stdout)).toEqual({ name: gone, lost_attempts: 2, member: 'voter' });
    expect(removed.stderr).toContain(`"jarvisctl cluster remove ${gone}"`);
    expect(await nodeOf(cluster, gone)).toBeUndefined();
    expect(eventsOf(cluster, gone).at(-1)).toBe('node.removed');
    expect(await cluster.finalTask(stops.id)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
    const moved = await cluster.task(waits.id, ({ status }) => status === 'RUNNING');
    expect(moved.node).not.toBe(gone);
    expect(moved.attempts[0]).toMatchObject({
      status: 'LOST',
      error: { type: 'NodeLost', message: expect.stringContaining('anonymous vouched') },
    });
    finish(cluster, waits);
    expect(await cluster.finalTask(waits.id)).toMatchObject({ status: 'COMPLETED', attempt: 2 });

    // Its member is still one: it may come back, as a node that nobody knows.
    await cluster.restart(gone);
    await become(cluster, gone, 'AVAILABLE');
  });
});
