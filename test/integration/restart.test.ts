/** Stops in order, retries over a change of leader, and nodes that start late or come back without their disk. */
import { readFileSync } from 'node:fs';
import { cp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { UnexpectedAnswer, type TaskJson } from '../support/api.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { prepareCluster, startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

/** Contract, section 1. */
const STOP_LIMIT_MS = 5000;

describe('SIGTERM', () => {
  it('ends the leader within 5 s; submits go on, and its tasks are found again', async () => {
    const cluster = await startCluster({ killTasksOnExit: false });
    const leader = await cluster.leader();
    const trace = path.join(cluster.directory, 'trace');
    const flag = path.join(cluster.directory, 'finish');
    const script = `echo "$JARVIS_TASK_ID" >> ${trace}; while [ ! -e ${flag} ]; do sleep 0.1; done`;
    const tasks: TaskJson[] = [];
    for (let round = 0; round < 6; round += 1) {
      tasks.push(await cluster.api().submit({ command: ['sh', '-c', script] }));
    }
    for (const { id } of tasks) await cluster.task(id, ({ status }) => status === 'RUNNING');
    const running = await Promise.all(tasks.map(({ id }) => cluster.api().task(id)));
    expect(new Set(running.map(({ node }) => node))).toContain(leader.name);

    const clients = submitSteadily(cluster, leader.name);
    await clients.progress(5);
    const begunMs = performance.now();
    const end = await leader.end('SIGTERM');
    const tookMs = performance.now() - begunMs;
    expect(end).toEqual({ code: 0, signal: null });
    expect(tookMs).toBeLessThan(STOP_LIMIT_MS);
    const { leader: heir } = await cluster.api().cluster();
    expect(heir).not.toBe(leader.name);
    await clients.progress(5);
    await clients.stop();
    expect(clients.failures).toEqual([]);

    await cluster.restart(leader.name);
    await cluster.cli(['run', '--', 'touch', flag]);
    for (const { id } of tasks) {
      expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect(linesOf(trace).toSorted()).toEqual(tasks.map(({ id }) => id).sort());
  });

  it('answers what still comes to the stopping node, or takes no connection: it makes up no failure', async () => {
    const cluster = await startCluster();
    const leader = await cluster.leader();
    const [follower] = await cluster.followers();
    for (const node of [follower, leader]) {
      if (node === undefined) throw new Error('there is no follower');
      const failures: string[] = [];
      let acknowledged = 0;
      const clients = Array.from({ length: 4 }, async () => {
        while (node.isRunning) {
          try {
            await node.api.submit({ command: ['true'] });
            acknowledged += 1;
          } catch (error) {
            if (error instanceof UnexpectedAnswer) failures.push(error.message);
          }
          // A pace that leaves the machine room for the tasks.
          await delay(20);
        }
      });
      await waitFor('submits', async () => acknowledged >= 10);
      expect(await node.end('SIGTERM')).toEqual({ code: 0, signal: null });
      await Promise.all(clients);
      expect(failures).toEqual([]);
      await cluster.restart(node.name);
    }
  });
});

/** One client per follower that submits all the time and is never told to try again. */
function submitSteadily(cluster: TestCluster, except: string) {
  const failures: string[] = [];
  let acknowledged = 0;
  const stopping = new AbortController();
  const submit = async (node: TestCluster['nodes'][number]): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await node.api.submit({ command: ['true'] });
        acknowledged += 1;
      } catch (error) {
        failures.push(`${node.name}: ${String(error)}`);
      }
      await delay(20);
    }
  };
  const all = Promise.all(cluster.nodes.filter(({ name }) => name !== except).map(submit));
  return {
    failures,
    async progress(count: number): Promise<void> {
      const from = acknowledged;
      await waitFor('submits go on', () => acknowledged >= from + count || failures.length > 0);
    },
    async stop(): Promise<void> {
      stopping.abort();
      await all;
    },
  };
}

describe('retries', () => {
  it('go on over a change of leader', async () => {
    const cluster = await startCluster();
    const leader = await cluster.leader();
    await fillNode(cluster, leader.name);
    const example = path.join(import.meta.dirname, '../../examples/retry.yaml');
    const submitted = await cluster.cli(['submit', '-f', example, '-o', 'name']);
    const id = submitted.stdout.trim();
    await cluster.task(id, ({ retry_count: retries }) => retries >= 1, {
      intervalMs: 10,
    });
    await cluster.kill(leader.name);
    const task = await cluster.finalTask(id);
    expect(task).toMatchObject({ status: 'COMPLETED', attempt: 3, retry_count: 2, exit_code: 0 });
    expect(task.attempts.map(({ status, exit_code: code }) => [status, code])).toEqual([
      ['FAILED', 75],
      ['FAILED', 75],
      ['COMPLETED', 0],
    ]);
    expect((await cluster.cli(['logs', id])).stdout).toBe('attempt 3 works\n');
    expect((await cluster.cli(['wait', id])).status).toBe(0);
  });
});

/** One task takes all of it, so that nothing else runs there. */
async function fillNode(cluster: TestCluster, name: string): Promise<void> {
  const spec = { command: ['sleep', '300'], resources: { cpu: '8', memory: '1Gi' } };
  const fillers = await Promise.all(cluster.nodes.map(() => cluster.api().submit(spec)));
  for (const { id } of fillers) {
    const { node } = await cluster.task(id, ({ status }) => status === 'RUNNING');
    if (node === name) continue;
    await cluster.api().cancel(id);
    await cluster.finalTask(id);
  }
}

describe('a cluster that forms', () => {
  it('waits for the last of its nodes', async () => {
    const cluster = await prepareCluster();
    const [first, second, last] = cluster.nodes;
    if (first === undefined || second === undefined || last === undefined) throw new Error('three nodes');
    first.start();
    second.start();
    const waiting = new RegExp(`"missing":"[^"]*${last.name}=.*waiting for peers`);
    const alive = async (): Promise<boolean> => {
      const answers = await Promise.all(
        [first, second].map(({ api }) => api.call('GET', '/healthz', null, { timeoutMs: 5000 })),
      );
      return answers.every(({ status }) => status === 200);
    };
    await waitFor('both are alive', alive);
    // Each of them has found the other and misses the third alone.
    await waitFor('both wait for the third alone', () =>
      [first, second].every((node) => node.log().includes(`"missing":"${last.name}=`)),
    );
    await delay(1000);
    for (const node of [first, second]) {
      expect(node.log()).toMatch(waiting);
      const readiness = await node.api.call('GET', '/readyz', null);
      expect(readiness.status).toBe(503);
      expect(readiness.headers.get('retry-after')).toBe('1');
      const submit = await node.api.call('POST', '/tasks', JSON.stringify({ command: ['true'] }));
      expect(submit.status).toBe(503);
      expect(identityOf(cluster, node.name)).toMatchObject({ cluster: null });
    }
    last.start();
    await cluster.ready();
    const { id } = await last.api.submit({ command: ['true'] });
    expect((await cluster.finalTask(id)).status).toBe('COMPLETED');
    const clusters = cluster.nodes.map(({ name }) => JSON.stringify(identityOf(cluster, name)['cluster']));
    expect(clusters.every((text) => text.includes(JSON.parse(clusters[0] ?? '{}').clusterId))).toBe(true);
  });
});

function identityOf(cluster: TestCluster, name: string): Readonly<Record<string, unknown>> {
  const file = path.join(cluster.node(name).settings.dataDir, 'identity.json');
  return JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, unknown>>;
}

describe('a node that lost its disk', () => {
  it('is a stranger: it joins anew as a learner in the place of who it was, and loses nothing', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const { api } = await cluster.leader();
    const kept = await api.submit({ command: ['true'] });
    await cluster.finalTask(kept.id);
    const [lost] = await cluster.followers();
    if (lost === undefined) throw new Error('there are followers');
    const before = identityOf(cluster, lost.name);
    await cluster.kill(lost.name);
    await rm(lost.settings.dataDir, { recursive: true });
    const { term } = await api.cluster();
    lost.start();
    await waitFor('its being a learner', async () => {
      const { learners, voters } = await api.cluster();
      return learners.includes(lost.name) && !voters.includes(lost.name);
    });
    expect(identityOf(cluster, lost.name)['incarnation']).not.toBe(before['incarnation']);
    // Nobody was disturbed.
    expect((await api.cluster()).term).toBe(term);
    await waitFor('its vote', async () => (await api.cluster()).voters.includes(lost.name), {
      timeoutMs: 60_000,
    });
    const { voters, learners } = await api.cluster();
    expect([...voters].sort()).toEqual(['n1', 'n2', 'n3']);
    expect(learners).toEqual([]);
    const { id } = await api.submit({ command: ['true'] });
    expect((await cluster.finalTask(id)).status).toBe('COMPLETED');
    expect((await api.task(kept.id)).status).toBe('COMPLETED');

    // Its vote counts: without one of the others there is a leader all the same.
    const leader = await cluster.leader();
    const other = ['n1', 'n2', 'n3'].find((name) => name !== leader.name && name !== lost.name) ?? '';
    await cluster.kill(other);
    const more = await leader.api.submit({ command: ['true'] });
    expect((await cluster.finalTask(more.id, { timeoutMs: 60_000 })).status).toBe('COMPLETED');
  });
});

describe('a node whose data directory was restored from a copy', () => {
  it('is refused by its peers, and from then on before it asks them', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const [old] = await cluster.followers();
    if (old === undefined) throw new Error('there are followers');
    const copy = `${old.settings.dataDir}.copy`;
    await cluster.kill(old.name);
    await cp(old.settings.dataDir, copy, { recursive: true, filter: (file) => !file.endsWith('.sock') });
    // The original goes on: it counts further, and may vote and acknowledge what the copy knows nothing of.
    await cluster.restart(old.name);
    await cluster.kill(old.name);
    await rm(old.settings.dataDir, { recursive: true });
    await rename(copy, old.settings.dataDir);

    for (const starts of ['first', 'second', 'third']) {
      old.start();
      const end = await waitFor(
        `the end of the ${starts} start of the copy`,
        () => !old.isRunning && old.ended,
      );
      expect(end).toEqual({ code: 2, signal: null });
      expect(old.log().trimEnd().split('\n').at(-1)).toMatch(
        /^jarvisd: the data directory must not be used any more: it is a copy or an older state/,
      );
    }
    const { id } = await cluster.api().submit({ command: ['true'] });
    expect((await cluster.finalTask(id)).status).toBe('COMPLETED');
  });
});
