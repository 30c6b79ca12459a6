/** Nodes beyond the learners: they work without a copy, become learners where a place is free, and the other way round. Real processes. */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { ClusterJson, TaskJson } from '../support/api.ts';
import type { ClusterOptions, TestCluster } from '../support/cluster.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const OPTIONS: ClusterOptions = {
  // A restart is no loss, however busy the machine is.
  heartbeat: { interval: '500ms', warning: '5s', timeout: '30s' },
  joining: 2,
  membership: { learners: 0 },
  killTasksOnExit: false,
  envOf: () => Promise.resolve((name) => ({ JARVISD_LABELS: `zone=${name}` })),
};
const TIMEOUT_MS = 180_000;

async function status(cluster: TestCluster, condition: (now: ClusterJson) => boolean): Promise<ClusterJson> {
  const now = async (): Promise<ClusterJson | false> => {
    const answer = await cluster.node('n1').api.cluster();
    return condition(answer) && answer;
  };
  return await waitFor('a state of the cluster', now, { timeoutMs: 60_000 });
}

/** That only the named node can take, and that ends when its file is there. */
function held(cluster: TestCluster, node: string, name: string): object {
  const [at, file] = [path.join(cluster.directory, `${name}.pid`), path.join(cluster.directory, name)];
  const script = `echo $$ >> ${at}; echo begun; while [ ! -e ${file} ]; do sleep 0.1; done; echo done`;
  return { command: ['sh', '-c', script], ...only(node) };
}

/** Nodes have their name as their zone. */
function only(node: string): object {
  return { affinity: { required: [{ key: 'zone', operator: 'in', values: [node] }] } };
}

async function runs(cluster: TestCluster, { id }: TaskJson): Promise<TaskJson> {
  return await cluster.task(id, (task) => task.status === 'RUNNING', { timeoutMs: 60_000 });
}

/** Through that node; without an error. */
async function ctl(cluster: TestCluster, peer: string, ...words: readonly string[]): Promise<string> {
  const { status: exit, stdout, stderr } = await cluster.cli(words, { peer });
  expect({ words, exit, stderr }).toEqual({ words, exit: 0, stderr: '' });
  return stdout;
}

/** It has said so after that many characters, and is up again after it: as what it is then. */
async function upAgain(node: NodeProcess, said: string, from: number): Promise<void> {
  const rest = (): string => node.log().slice(node.log().indexOf(said, from));
  await waitFor(said, () => node.log().includes(said, from) && rest().includes('the node is up'), {
    timeoutMs: 60_000,
  });
  await node.ready();
}

async function rolesOf(cluster: TestCluster): Promise<Readonly<Record<string, string>>> {
  const nodes = await cluster.node('n1').api.nodes();
  return Object.fromEntries(nodes.map(({ name, role }) => [name, role]));
}

describe('a node beyond the learners', () => {
  it(
    'takes work, answers as every node does, and outlives leaders and its own daemon',
    async () => {
      const cluster = await startCluster(OPTIONS);
      const waiting = await cluster.api().submit(held(cluster, 'n4', 'first'));
      const late = cluster.node('n4');
      late.start();
      await late.ready();
      await runs(cluster, waiting);
      expect(await rolesOf(cluster)).toEqual({ n1: 'voter', n2: 'voter', n3: 'voter', n4: 'worker' });
      expect(await late.api.cluster()).toMatchObject({ voters: ['n1', 'n2', 'n3'], learners: [] });
      expect(await ctl(cluster, 'n4', 'cluster', 'members')).toMatch(/n4 .*worker/);

      // Its own output and another's, through it and through another.
      const elsewhere = await late.api.submit(held(cluster, 'n1', 'second'));
      await runs(cluster, elsewhere);
      for (const peer of ['n4', 'n2'])
        for (const { id } of [waiting, elsewhere])
          expect(await ctl(cluster, peer, 'logs', id)).toBe('begun\n');
      expect(await ctl(cluster, 'n4', 'node', 'ls')).toContain('n4');
      expect(await ctl(cluster, 'n1', 'node', 'get', 'n4', '-o', 'json')).toContain('"role": "worker"');
      expect((await late.api.call('GET', '/nodes?consistency=stale', null)).status).toBe(200);
      expect((await late.api.call('GET', '/metrics', null)).text).toContain('worker_active_tasks');
      const events = await late.api.call('GET', '/events?since=oldest&follow=false', null);
      expect(events.text).toContain(waiting.id);

      const leader = (await cluster.leader()).name;
      await cluster.kill(leader);
      const after = await late.api.submit({ command: ['true'] });
      expect(await cluster.finalTask(after.id, { timeoutMs: 60_000 })).toMatchObject({ status: 'COMPLETED' });
      await cluster.restart(leader);

      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        await cluster.kill('n4', signal);
        await cluster.restart('n4');
      }
      expect(await runs(cluster, waiting)).toMatchObject({ attempt: 1, node: 'n4' });
      await ctl(cluster, 'n4', 'run', '--', 'touch', path.join(cluster.directory, 'first'));
      expect(await cluster.finalTask(waiting.id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
      expect(await ctl(cluster, 'n4', 'logs', waiting.id)).toBe('begun\ndone\n');
    },
    TIMEOUT_MS,
  );

  it(
    'becomes a learner where a place is free, and works without a copy again where there are too many, with what runs on it',
    async () => {
      const cluster = await startCluster(OPTIONS);
      const late = cluster.node('n4');
      late.start();
      await late.ready();
      const task = await late.api.submit(held(cluster, 'n4', 'held'));
      await runs(cluster, task);

      let from = late.log().length;
      await ctl(cluster, 'n1', 'config', 'set', 'membership.learners=1');
      await upAgain(late, 'this node has a copy from now on', from);
      await status(cluster, ({ learners }) => learners.includes('n4'));
      expect(await rolesOf(cluster)).toMatchObject({ n4: 'learner' });
      expect(await runs(cluster, task)).toMatchObject({ attempt: 1 });
      expect((await late.api.call('GET', `/tasks/${task.id}?consistency=stale`, null)).status).toBe(200);

      from = late.log().length;
      await ctl(cluster, 'n1', 'config', 'set', 'membership.learners=0');
      await upAgain(late, 'it goes on without a copy of the state', from);
      await status(cluster, ({ learners }) => learners.length === 0);
      expect(await rolesOf(cluster)).toMatchObject({ n4: 'worker' });
      expect(await runs(cluster, task)).toMatchObject({ attempt: 1 });
      await ctl(cluster, 'n4', 'run', '--', 'touch', path.join(cluster.directory, 'held'));
      expect(await cluster.finalTask(task.id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    },
    TIMEOUT_MS,
  );

  it(
    'takes the place of a voter that is lost for good',
    async () => {
      const cluster = await startCluster({
        ...OPTIONS,
        membership: { learners: 0, voter_grace: '2s' },
      });
      const late = cluster.node('n4');
      late.start();
      await late.ready();
      const gone = (await cluster.leader()).name;
      await cluster.kill(gone);
      const voted = async (): Promise<boolean> => (await late.api.cluster()).voters.includes('n4');
      await waitFor('the vote of n4', voted, { timeoutMs: 90_000 });
      const { id } = await late.api.submit({ command: ['true'] });
      expect(await cluster.finalTask(id, { timeoutMs: 60_000 })).toMatchObject({ status: 'COMPLETED' });
    },
    TIMEOUT_MS,
  );

  it(
    'leaves when it is removed, hands over its logs, and comes back as a new one only',
    async () => {
      const cluster = await startCluster(OPTIONS);
      for (const name of ['n4', 'n5']) cluster.node(name).start();
      await cluster.ready();
      const { id } = await cluster.api().submit({ command: ['echo', 'kept'], ...only('n4') });
      await cluster.finalTask(id);
      const gone = cluster.node('n4');
      // What it says on stderr is how far it is.
      const drained = await cluster.cli(['node', 'drain', 'n4'], { peer: 'n5', timeoutMs: 60_000 });
      expect(drained.status).toBe(0);
      await ctl(cluster, 'n5', 'cluster', 'remove', 'n4');
      expect(await gone.ended).toMatchObject({ code: 2 });
      expect(gone.log()).toContain('this node was removed');
      expect(await ctl(cluster, 'n5', 'logs', id)).toBe('kept\n');
      gone.start();
      expect(await gone.ended).toMatchObject({ code: 2 });
      const members = await ctl(cluster, 'n1', 'cluster', 'members');
      expect(members).toContain('n5');
      expect(members).not.toContain('n4');

      // Off the list too, or another of its name waits until this one is taken for dead.
      await ctl(cluster, 'n1', 'node', 'remove', 'n4');
      await rm(gone.settings.dataDir, { recursive: true });
      await cluster.restart('n4');
      expect(await rolesOf(cluster)).toMatchObject({ n4: 'worker', n5: 'worker' });
    },
    TIMEOUT_MS,
  );
});
