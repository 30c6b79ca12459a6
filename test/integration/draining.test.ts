/** Nodes that are drained, on three of them: what runs there ends or moves, whatever restarts or dies meanwhile. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { NodeJson, TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

/** Says when it begins and ends, also where it is told to, and goes on until the file `go-NAME` is there. */
function traced(cluster: TestCluster, name: string): object {
  const [go, trace] = [`go-${name}`, `trace-${name}`].map((file) => path.join(cluster.directory, file));
  const end = `echo "end $JARVIS_ATTEMPT $JARVIS_NODE" >> ${trace}`;
  const script =
    `echo "start $JARVIS_ATTEMPT $JARVIS_NODE" >> ${trace}; trap '${end}; exit 0' TERM; ` +
    `while [ ! -e ${go} ]; do sleep 0.05; done; ${end}`;
  return { name, command: ['sh', '-c', script], resources: { cpu: '100m' } };
}

function traceOf(cluster: TestCluster, name: string): readonly string[] {
  return linesOf(path.join(cluster.directory, `trace-${name}`));
}

function finish(cluster: TestCluster, name: string): void {
  writeFileSync(path.join(cluster.directory, `go-${name}`), '');
}

async function node(cluster: TestCluster, name: string): Promise<NodeJson> {
  return await cluster.api().get<NodeJson>(`/nodes/${name}`);
}

async function become(cluster: TestCluster, name: string, status: string): Promise<NodeJson> {
  return await waitFor(`${name} is ${status}`, async () => {
    const found = await node(cluster, name);
    return found.status === status && found;
  });
}

async function others(cluster: TestCluster, name: string): Promise<readonly string[]> {
  return cluster.nodes.map((one) => one.name).filter((one) => one !== name);
}

/** Tasks that run there: the others take no work while they are placed. */
async function runOn(cluster: TestCluster, name: string, names: readonly string[]): Promise<TaskJson[]> {
  const cordoned = await others(cluster, name);
  expect(await cluster.cli(['node', 'cordon', ...cordoned, '-o', 'name'])).toMatchObject({ status: 0 });
  const tasks: TaskJson[] = [];
  for (const each of names) {
    const { id } = await cluster.api().submit(traced(cluster, each));
    tasks.push(
      await cluster.task(id, ({ status }) => status === 'RUNNING' && traceOf(cluster, each).length > 0),
    );
  }
  expect(await cluster.cli(['node', 'undrain', ...cordoned, '-o', 'name'])).toMatchObject({ status: 0 });
  expect(tasks.map((task) => task.node)).toEqual(names.map(() => name));
  return tasks;
}

describe('a node that is drained', () => {
  it('has what runs moved at the deadline, one attempt at a time, though the leader is killed meanwhile', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const leader = await cluster.leader();
    const [drained = ''] = (await cluster.followers()).map(({ name }) => name);
    const tasks = await runOn(cluster, drained, ['one', 'two']);

    const waiting = cluster.cli([
      'node',
      'drain',
      drained,
      '--deadline',
      '8s',
      '--timeout',
      '60s',
      '-o',
      'json',
    ]);
    const draining = await become(cluster, drained, 'DRAINING');
    expect(draining).toMatchObject({ schedulable: false, drain: { tasks_left: 2, overdue: false } });
    await cluster.kill(leader.name);
    const result = await waiting;
    expect(result).toMatchObject({ status: 0 });
    expect(JSON.parse(result.stdout)).toMatchObject({ name: drained, status: 'DRAINED', active_tasks: 0 });
    expect(result.stderr).toMatch(/2 tasks left, stopped and moved in \ds\n/);
    for (const { id, name } of tasks) {
      const moved = await cluster.task(id, ({ status, attempt }) => status === 'RUNNING' && attempt === 2);
      expect(moved).toMatchObject({ retry_count: 0 });
      expect(moved.attempts[0]).toMatchObject({
        node: drained,
        status: 'LOST',
        error: { type: 'NodeDrained' },
      });
      expect(moved.node).not.toBe(drained);
      await waitFor('its second start', () => traceOf(cluster, name).length === 3);
      finish(cluster, name);
      expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
      expect(traceOf(cluster, name)).toEqual([
        `start 1 ${drained}`,
        `end 1 ${drained}`,
        `start 2 ${moved.node}`,
        `end 2 ${moved.node}`,
      ]);
    }

    // That stays over a restart of the node; an undrain takes work at once.
    await cluster.restart(leader.name);
    await cluster.kill(drained);
    await cluster.restart(drained);
    expect(await become(cluster, drained, 'DRAINED')).toMatchObject({ schedulable: false });
    for (const other of await others(cluster, drained)) {
      expect(await cluster.api().call('POST', `/nodes/${other}/cordon`, null)).toMatchObject({ status: 200 });
    }
    const pending = await cluster.api().submit(traced(cluster, 'three'));
    const explained = await cluster.cli(['explain', pending.id, '-o', 'json']);
    expect(JSON.parse(explained.stdout)).toMatchObject({ reasons: [{ filter: 'drain', excluded: 3 }] });
    expect(await cluster.cli(['node', 'undrain', drained])).toMatchObject({ status: 0 });
    expect(await cluster.task(pending.id, ({ status }) => status === 'RUNNING')).toMatchObject({
      node: drained,
      attempt: 1,
    });
    finish(cluster, 'three');
    expect(await cluster.finalTask(pending.id)).toMatchObject({ status: 'COMPLETED' });
  });

  it('goes on draining over a restart of its own, and is DRAINED once what runs has ended by itself', async () => {
    // Its start may take longer than a short timeout allows: then it were lost, which is another matter.
    const cluster = await startCluster();
    const [drained = ''] = (await cluster.followers()).map(({ name }) => name);
    const [task] = await runOn(cluster, drained, ['one']);
    const begun = await cluster.cli(['node', 'drain', drained, '--no-wait', '-o', 'json']);
    const { drain } = JSON.parse(begun.stdout) as NodeJson;
    await cluster.kill(drained);
    await cluster.restart(drained);
    expect(await become(cluster, drained, 'DRAINING')).toMatchObject({
      active_tasks: 1,
      drain: { deadline: drain?.deadline, tasks_left: 1 },
    });
    const late = await cluster.cli(['node', 'drain', drained, '--deadline', '1h', '--timeout', '0.3s']);
    expect(late).toMatchObject({ status: 124, stderr: expect.stringContaining('is not drained yet') });
    finish(cluster, 'one');
    expect(await cluster.finalTask(task?.id ?? '')).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    await become(cluster, drained, 'DRAINED');
    expect(traceOf(cluster, 'one')).toEqual([`start 1 ${drained}`, `end 1 ${drained}`]);
  });
});

describe('--drain-on-exit', () => {
  it('drains the leader at SIGTERM before it stops, and its next start takes work again', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, killTasksOnExit: false });
    const { name } = await cluster.leader();
    await cluster.kill(name, 'SIGTERM');
    cluster.node(name).start(['--drain-on-exit', '--drain-deadline', '30s']);
    await cluster.node(name).ready();
    expect(await cluster.cli(['cluster', 'transfer', name])).toMatchObject({ status: 0 });
    const [task] = await runOn(cluster, name, ['one']);

    cluster.node(name).signal('SIGTERM');
    const draining = await become(cluster, name, 'DRAINING');
    expect(draining.drain).toMatchObject({ on_exit: true, tasks_left: 1 });
    await cluster.leader({ not: name });
    const { node: elsewhere } = await cluster.task(
      (await cluster.api().submit(traced(cluster, 'two'))).id,
      ({ status }) => status === 'RUNNING',
    );
    expect(elsewhere).not.toBe(name);
    expect(cluster.node(name).isRunning).toBe(true);
    finish(cluster, 'one');
    finish(cluster, 'two');
    expect(await cluster.node(name).ended).toEqual({ code: 0, signal: null });
    expect(await cluster.finalTask(task?.id ?? '')).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(await node(cluster, name)).toMatchObject({ drain: { on_exit: true } });

    cluster.node(name).start(['--drain-on-exit']);
    await cluster.node(name).ready();
    expect(await become(cluster, name, 'AVAILABLE')).toMatchObject({ schedulable: true, drain: null });

    // A second signal ends it at once; what runs is left running.
    const [left] = await runOn(cluster, name, ['three']);
    cluster.node(name).signal('SIGTERM');
    await become(cluster, name, 'DRAINING');
    expect(await cluster.node(name).end('SIGTERM', 5000)).toEqual({ code: 0, signal: null });
    await cluster.restart(name);
    await become(cluster, name, 'AVAILABLE');
    finish(cluster, 'three');
    expect(await cluster.finalTask(left?.id ?? '')).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });
});

describe('node remove --drain', () => {
  it('takes the leader away in order: its work moves, another leads, its daemon ends', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { name } = await cluster.leader();
    const [task] = await runOn(cluster, name, ['one']);
    const removed = await cluster.cli(
      ['node', 'remove', name, '--drain', '--deadline', '0', '--timeout', '60s', '-o', 'json'],
      { timeoutMs: 90_000 },
    );
    expect(removed).toMatchObject({ status: 0 });
    expect(JSON.parse(removed.stdout)).toEqual({ name, lost_attempts: 0, member: null });
    expect(await cluster.node(name).ended).toMatchObject({ code: 2 });
    const moved = await cluster.task(task?.id ?? '', ({ status }) => status === 'RUNNING');
    expect(moved).toMatchObject({ attempt: 2 });
    const left = await cluster.api().nodes();
    expect(left.map((each) => each.name)).toEqual(await others(cluster, name));
    expect((await cluster.api().cluster()).voters).toHaveLength(2);
    finish(cluster, 'one');
    expect(await cluster.finalTask(moved.id)).toMatchObject({ status: 'COMPLETED' });
    expect(traceOf(cluster, 'one').map((line) => line.split(' ')[0])).toEqual([
      'start',
      'end',
      'start',
      'end',
    ]);
  });
});
