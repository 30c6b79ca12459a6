/**
 * Use cases 3, 4 and 5 on three nodes, each with a change of leader in the middle, while one of its tasks runs and one is
 * queued. What the tasks leave outside the cluster is compared with what is on record of them (promise 3).
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { eventsOf, faultsOf, followEvents } from '../support/event-follower.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

/** Each node holds one such task at a time. */
const ONE_EACH = { capacity: 'cpu=1,memory=1Gi' } as const;
const WHOLE_NODE = { resources: { cpu: '1', memory: '64Mi' } } as const;
/** No node can ever hold it: it stays queued. */
const NOWHERE = { name: 'too-large', command: ['true'], resources: { cpu: '64' } } as const;

interface Line {
  readonly name: string;
  readonly id: string;
  readonly attempt: number;
  readonly token: bigint;
  readonly node: string;
}

/** A command that says outside of the cluster that it runs, and then goes on as the script says. */
function telling(cluster: TestCluster, name: string, script: string): { name: string; command: string[] } {
  const say = `echo "${name} $JARVIS_TASK_ID $JARVIS_ATTEMPT $JARVIS_FENCING_TOKEN $JARVIS_NODE" >> ${path.join(cluster.directory, 'lines')}`;
  return { name, command: ['sh', '-c', `${say}; ${script}`] };
}

/** For as long as there is no such file. */
function until(cluster: TestCluster, file: string): string {
  return `while [ ! -e ${path.join(cluster.directory, file)} ]; do sleep 0.05; done`;
}

function release(cluster: TestCluster, file: string): void {
  writeFileSync(path.join(cluster.directory, file), '');
}

function lines(cluster: TestCluster): readonly Line[] {
  return linesOf(path.join(cluster.directory, 'lines')).map((line) => {
    const [name = '', id = '', attempt = '', token = '', node = ''] = line.split(' ');
    return { name, id, attempt: Number(attempt), token: BigInt(token), node };
  });
}

/** Every attempt that ran is on record with its node, and every one on record that has started has run, in its order. */
function expectRecorded(cluster: TestCluster, tasks: readonly TaskJson[]): void {
  const all = lines(cluster);
  for (const task of tasks) {
    const ran = all.filter(({ id }) => id === task.id);
    const started = task.attempts.filter(({ started_at: at }) => at !== null);
    expect(ran.map(({ attempt, node }) => [attempt, node])).toEqual(
      started.map(({ attempt, node }) => [attempt, node]),
    );
    expect(task.attempts.map(({ attempt }) => attempt)).toEqual(task.attempts.map((_, at) => at + 1));
    expect(task.attempt).toBe(task.attempts.length);
    const completed = task.attempts.filter(({ status }) => status === 'COMPLETED');
    expect(completed).toHaveLength(task.status === 'COMPLETED' ? 1 : 0);
  }
  const tokens = all.map(({ token }) => token);
  expect(new Set(tokens).size).toBe(tokens.length);
}

/** Another node leads, while the one task runs and the other is queued. */
async function changeLeader(
  cluster: TestCluster,
  tasks: { readonly running: string; readonly queued: string },
  change: (leader: string) => Promise<void>,
): Promise<void> {
  const statuses = async (): Promise<readonly string[]> => {
    const both = [await cluster.api().task(tasks.running), await cluster.api().task(tasks.queued)];
    return both.map(({ status, attempt }) => `${status} ${attempt}`);
  };
  const before = await cluster.api().cluster();
  const [running, queued] = await statuses();
  expect(running).toMatch(/^RUNNING /);
  expect(queued).toMatch(/^PENDING /);
  await change(before.leader ?? '');
  await cluster.leader({ not: before.leader ?? '' });
  const after = await cluster.api().cluster();
  expect(after.term).toBeGreaterThan(before.term);
  // The same attempts: neither has been anything else meanwhile.
  expect(await statuses()).toEqual([running, queued]);
}

async function handOver(cluster: TestCluster, leader: string): Promise<void> {
  const transfer = await cluster.cli(['cluster', 'transfer', '--peer', cluster.peers(leader)]);
  expect(transfer.stderr).toBe('');
}

/** The same on every node, in order, and what was followed all the time is all of it. */
async function expectSameEvents(
  cluster: TestCluster,
  follower: ReturnType<typeof followEvents>,
): Promise<void> {
  const all = await eventsOf(cluster, 'n1');
  expect(faultsOf(all)).toEqual([]);
  for (const name of ['n2', 'n3']) expect(await eventsOf(cluster, name)).toEqual(all);
  await waitFor('all events have come', () => follower.events.length >= all.length);
  expect(follower.events.slice(0, all.length)).toEqual(all);
}

/** Between the end of an attempt and the beginning of the next. */
function expectDelays({ attempts }: TaskJson, leastMs: readonly number[]): void {
  for (const [at, least] of leastMs.entries()) {
    const ended = Date.parse(attempts[at]?.finished_at ?? '');
    const began = Date.parse(attempts[at + 1]?.started_at ?? '');
    expect(began - ended).toBeGreaterThanOrEqual(least);
    expect(began - ended).toBeLessThan(least + 5000);
  }
}

describe('use case 3: priorities', () => {
  it('what is urgent comes first when a node is free again, also under another leader', async () => {
    const cluster = await startCluster(ONE_EACH);
    const follower = followEvents(cluster);
    const { api } = cluster.node('n2');
    const held = await Promise.all(
      [1, 2, 3].map((at) =>
        api.submit({ ...telling(cluster, `busy-${at}`, until(cluster, `go-${at}`)), ...WHOLE_NODE }),
      ),
    );
    for (const { id } of held) await cluster.task(id, ({ status }) => status === 'RUNNING');
    const submit = (name: string, priority?: string) =>
      api.submit({
        ...telling(cluster, name, 'sleep 0.1'),
        ...WHOLE_NODE,
        ...(priority ? { priority } : {}),
      });
    const queued: TaskJson[] = [];
    for (const name of ['a', 'b', 'c']) queued.push(await submit(name));
    queued.push(await submit('urgent', 'high'));
    const [, , c] = queued;
    const [first] = held;
    await changeLeader(cluster, { running: first?.id ?? '', queued: c?.id ?? '' }, (leader) =>
      handOver(cluster, leader),
    );
    // Still more urgent, as a person has decided since.
    const update = await cluster.cli(['update', c?.id ?? '', '--priority', 'critical', '-o', 'json']);
    expect(JSON.parse(update.stdout)).toMatchObject({ id: c?.id, priority: 'critical', status: 'PENDING' });

    release(cluster, 'go-1');
    const done = await Promise.all(queued.map(({ id }) => cluster.finalTask(id)));
    expect(done.map(({ status }) => status)).toEqual(['COMPLETED', 'COMPLETED', 'COMPLETED', 'COMPLETED']);
    const order = lines(cluster)
      .map(({ name }) => name)
      .filter((name) => !name.startsWith('busy'));
    expect(order).toEqual(['c', 'urgent', 'a', 'b']);
    release(cluster, 'go-2');
    release(cluster, 'go-3');
    const over = await Promise.all(held.map(({ id }) => cluster.finalTask(id)));
    expectRecorded(cluster, [...done, ...over]);
    await expectSameEvents(cluster, follower);
  });
});

describe('use case 4: failure and retry', () => {
  it('waits 2 s, then 4 s, by a time that a new leader keeps; ends in an alert, and a person begins it anew', async () => {
    const cluster = await startCluster();
    const follower = followEvents(cluster);
    const api = cluster.api();
    const errorFile = `echo '{"type": "ConnectionTimeout", "message": "no route"}' > $JARVIS_ERROR_FILE`;
    const flaky = await api.submit(
      telling(cluster, 'flaky', `[ $JARVIS_ATTEMPT -ge 3 ] && exit 0; ${errorFile}; exit 1`),
    );
    const invalid = await api.submit(telling(cluster, 'invalid', 'exit 65'));
    const steady = await api.submit(telling(cluster, 'steady', until(cluster, 'go')));
    const waiting = await api.submit(NOWHERE);
    await cluster.task(steady.id, ({ status }) => status === 'RUNNING');
    const failed = await cluster.task(flaky.id, ({ status }) => status === 'FAILED');
    expect(failed).toMatchObject({
      attempt: 1,
      retry_count: 1,
      status_reason: 'retry 1 in 2 s after ConnectionTimeout',
      attempts: [{ status: 'FAILED', error: { type: 'ConnectionTimeout', message: 'no route' } }],
    });
    await changeLeader(cluster, { running: steady.id, queued: waiting.id }, (leader) =>
      handOver(cluster, leader),
    );
    const completed = await cluster.finalTask(flaky.id);
    expect(completed).toMatchObject({ status: 'COMPLETED', attempt: 3, retry_count: 2 });
    expectDelays(completed, [2000, 4000]);
    expect(await cluster.finalTask(invalid.id)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      attempt: 1,
      status_reason: 'error type InvalidInput is not retried',
    });

    const script = `[ -e ${path.join(cluster.directory, 'mended')} ] && exit 0; exit 75`;
    const policy = { retry_policy: { max_attempts: 2, backoff_strategy: 'fixed', backoff_base: 1 } };
    const broken = await api.submit({ ...telling(cluster, 'broken', script), ...policy });
    expect(await cluster.finalTask(broken.id)).toMatchObject({
      status: 'PERMANENTLY_FAILED',
      attempt: 2,
      status_reason: 'all 2 attempts failed',
      error: { type: 'TemporaryFailure' },
    });
    const alert = await follower.until('alerts', ({ kind, id }) => kind === 'alert' && id === broken.id);
    expect(alert).toMatchObject({ name: 'task.permanently_failed', new_status: 'PERMANENTLY_FAILED' });
    release(cluster, 'mended');
    const retry = await cluster.cli(['retry', broken.id, '-o', 'json']);
    expect(JSON.parse(retry.stdout)).toMatchObject({ id: broken.id, attempt: 2, retry_count: 0 });
    const begun = await cluster.finalTask(broken.id);
    expect(begun).toMatchObject({ status: 'COMPLETED', attempt: 3 });

    release(cluster, 'go');
    await api.cancel(waiting.id);
    const all = [completed, begun, await cluster.finalTask(steady.id), await api.task(invalid.id)];
    expectRecorded(cluster, all);
    await expectSameEvents(cluster, follower);
  });
});

describe('use case 5: a node fails', () => {
  it('though it leads: its tasks run elsewhere, those of others go on, and it comes back without them', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const follower = followEvents(cluster);
    const { name: lost } = await cluster.leader();
    const [other] = await cluster.followers();
    const api = cluster.node(other?.name ?? '').api;
    const beats = (name: string) => {
      const beat = `echo "$JARVIS_ATTEMPT" >> ${path.join(cluster.directory, `beats-${name}`)}; sleep 0.1`;
      const go = path.join(cluster.directory, 'go');
      return telling(cluster, name, `while [ ! -e ${go} ]; do ${beat}; done`);
    };
    const submitted = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => api.submit(beats(name))),
    );
    const running = await Promise.all(
      submitted.map(({ id }) => cluster.task(id, ({ status }) => status === 'RUNNING')),
    );
    await waitFor('all have begun', () => lines(cluster).length === running.length);
    const onLost = running.filter(({ node }) => node === lost);
    const elsewhere = running.filter(({ node }) => node !== lost);
    expect(onLost.length).toBeGreaterThan(0);
    const waiting = await api.submit(NOWHERE);
    const watched = { running: elsewhere[0]?.id ?? '', queued: waiting.id };
    await changeLeader(cluster, watched, async (leader) => void (await cluster.kill(leader)));

    await follower.until('it is OFFLINE', ({ id, new_status: now }) => id === lost && now === 'OFFLINE');
    for (const { id } of onLost) {
      const moved = await cluster.task(id, ({ status, attempt }) => status === 'RUNNING' && attempt === 2);
      expect(moved.node).not.toBe(lost);
      expect(moved.attempts[0]).toMatchObject({ status: 'LOST', node: lost, error: { type: 'NodeLost' } });
      const move = follower.events.find((event) => event.id === id && event.old_status === 'RUNNING');
      expect(move).toMatchObject({ new_status: 'PENDING', reason: 'rescheduling' });
    }
    const alerts = follower.events.filter(({ kind, id }) => kind === 'alert' && id === lost);
    expect(alerts.map(({ name }) => name)).toEqual(['node.unhealthy', 'node.offline']);

    await cluster.restart(lost);
    await waitFor(`${lost} is AVAILABLE`, async () =>
      (await api.nodes()).some(({ name, status }) => name === lost && status === 'AVAILABLE'),
    );
    // The orphans are stopped: only the newer attempt goes on.
    for (const { name } of onLost) {
      await waitFor(`only the second attempt of ${name} goes on`, () => {
        const newest = linesOf(path.join(cluster.directory, `beats-${name}`)).slice(-10);
        return newest.length === 10 && newest.every((attempt) => attempt === '2');
      });
    }
    release(cluster, 'go');
    await api.cancel(waiting.id);
    const over = await Promise.all(running.map(({ id }) => cluster.finalTask(id)));
    expect(over.map(({ status }) => status)).toEqual(running.map(() => 'COMPLETED'));
    for (const { id } of elsewhere) expect(over.find((task) => task.id === id)?.attempt).toBe(1);
    expectRecorded(cluster, over);
    await expectSameEvents(cluster, follower);
  });
});
