/** Use case 1 on three real nodes and a real engine, through the command line; and what happens to both of them. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { TaskJson } from '../support/api.ts';
import { attemptGroupPrefixes, removeAttemptGroups } from '../support/attempt-groups.ts';
import { TestCluster } from '../support/cluster.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;

describeWithBed('three nodes', (bed) => {
  let cluster: TestCluster;
  let groups: readonly string[];
  let hello: string;

  beforeAll(async () => {
    cluster = await TestCluster.create({
      drivers: 'process,docker',
      env: { DOCKER_HOST: bed().dockerHost },
      killTasksOnExit: false,
      policy: { mounts: ['MARKS'] },
    });
    await cluster.start();
    groups = attemptGroupPrefixes(cluster);
    hello = bed().openRegistry.reference(IMAGES.hello);
  });

  afterAll(async () => {
    await bed().engine.heal();
    for (const { Id, Labels } of await bed().engine.api.list())
      if ('io.jarvis.incarnation' in Labels) await bed().engine.api.remove(Id);
    await cluster.dispose();
    await removeAttemptGroups(groups);
  });

  async function containersOf({ id }: Pick<TaskJson, 'id'>) {
    return (await bed().engine.api.list()).filter(({ Labels }) => Labels['io.jarvis.task'] === id);
  }

  async function nothingLeft(): Promise<void> {
    await waitFor('no container to be left', async () =>
      (await bed().engine.api.list()).every(({ Labels }) => !('io.jarvis.incarnation' in Labels)),
    );
  }

  /** Leaves its id outside each time that it is executed. */
  function marking(name: string, rest: string): object {
    return {
      name,
      image: hello,
      network: 'none',
      command: ['sh', '-c', `echo $JARVIS_TASK_ID >> /marks/executions; ${rest}`],
      mounts: [{ source: path.join(cluster.directory, 'marks'), target: '/marks' }],
    };
  }

  function executions({ id }: Pick<TaskJson, 'id'>): number {
    const file = path.join(cluster.directory, 'marks', 'executions');
    if (!existsSync(file)) return 0;
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line === id).length;
  }

  describe('run an image', () => {
    it('pulled with progress, with its output and exit code', async () => {
      const run = await cluster.cli(['run', '--image', hello, '--', 'sh', '-c', 'echo hi; exit 3']);
      expect(run).toMatchObject({ stdout: 'hi\n', status: 3 });
      expect(run.stderr).toContain(`pulling ${hello}`);
    });

    it('with limits that the engine really has, and labels', async () => {
      const { id } = await cluster.api().submit({
        image: hello,
        command: ['sleep', '1000'],
        stop_grace: '0s',
        resources: { cpu: '200m', memory: '32Mi' },
        limits: { cpu: '500m', memory: '48Mi', pids: 20 },
        labels: { team: 'data' },
      });
      const running = await cluster.task(id, ({ status }) => status === 'RUNNING');
      const [container] = await containersOf(running);
      expect(container?.Labels).toMatchObject({ team: 'data', 'io.jarvis.task': id });
      const { HostConfig } = await bed().engine.api.inspect(container?.Id ?? '');
      expect(HostConfig).toMatchObject({ Memory: 48 * MIB, CpuQuota: 50_000, PidsLimit: 20 });
      await cluster.api().cancel(id);
      expect(await cluster.finalTask(id)).toMatchObject({ status: 'CANCELLED' });
    });

    it('out of the memory that it may use, which its description says', async () => {
      const eat = 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo "$x"';
      const args = ['run', '--image', hello, '--memory', '8Mi', '--limit-memory', '16Mi', '--name', 'eater'];
      const run = await cluster.cli([...args, '--', 'sh', '-c', eat]);
      expect(run.status).toBe(137);
      expect(run.stderr).toContain('OutOfMemory');
      const { stdout: id } = await cluster.cli(['ls', '--name', 'eater', '-o', 'name']);
      const { stdout } = await cluster.cli(['describe', id.trim()]);
      expect(stdout).toMatch(/Error: +OutOfMemory/);
      expect(stdout).toMatch(/Image digest: +localhost:\d+\/hello@sha256:[0-9a-f]{64}/);
    });

    it('that is not there, or for somebody else, and says so', async () => {
      const missing = await cluster.cli(['run', '--image', bed().openRegistry.reference('nothing')]);
      expect(missing).toMatchObject({ status: 1 });
      expect(missing.stderr).toContain('ImageNotFound');
      const closed = await cluster.cli(['run', '--image', bed().closedRegistry.reference(IMAGES.hello)]);
      expect(closed.stderr).toContain('AuthenticationError');
      const foreign = await cluster.cli(['run', '--image', bed().openRegistry.reference(IMAGES.foreign)]);
      expect(foreign.stderr).toContain('ImageNotFound');
    });

    it('not with what every node forbids', async () => {
      const mount = await cluster.cli(['run', '--image', hello, '--mount', '/etc:/x:ro']);
      expect(mount).toMatchObject({ status: 2, stdout: '' });
      expect(mount.stderr).toContain('policy.mounts');
      const spec = JSON.stringify({ image: hello, network: 'host' });
      const answer = await cluster.api().call('POST', '/tasks', spec);
      expect(answer.status).toBe(422);
      expect(JSON.parse(answer.text)).toMatchObject({ faults: [{ path: 'network' }] });
    });
  });

  describe('when something fails', () => {
    it('keep containers over the death of their daemon, and miss no exit', async () => {
      const api = cluster.api();
      const tasks = await Promise.all(
        [1, 2, 3, 4, 5, 6].map((at) => api.submit(marking(`long-${at}`, 'sleep 4; exit 0'))),
      );
      for (const { id } of tasks) await cluster.task(id, ({ status }) => status === 'RUNNING');
      const leader = await cluster.leader();
      await cluster.kill(leader.name);
      await cluster.restart(leader.name);
      for (const { id } of tasks) {
        expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
        expect(executions({ id })).toBe(1);
      }
      await nothingLeft();
    });

    it('bring every task to its end over a restart of the engine, and leave no container', async () => {
      const api = cluster.api();
      const tasks = await Promise.all(
        Array.from({ length: 16 }, (_, at) => api.submit(marking(`short-${at}`, 'sleep 1; exit 0'))),
      );
      await waitFor('some of them to run', () => tasks.filter((task) => executions(task) > 0).length > 2);
      await bed().engine.restart('kill');
      for (const { id } of tasks) {
        const task = await cluster.finalTask(id, { timeoutMs: 90_000 });
        expect(task.status).toBe('COMPLETED');
        // Only a lost attempt is made again: what ran is on record.
        expect(executions({ id })).toBeLessThanOrEqual(task.attempts.length);
        expect(executions({ id })).toBeGreaterThan(0);
      }
      await nothingLeft();
    });

    it('place no image where no engine answers, and do as soon as one does', async () => {
      await bed().engine.kill();
      const withDocker = async (): Promise<number> => {
        const { items } = await cluster.api().get<{ items: { drivers: string[] }[] }>('/nodes');
        return items.filter(({ drivers }) => drivers.includes('docker')).length;
      };
      await waitFor('the nodes to say so', async () => (await withDocker()) === 0, { timeoutMs: 60_000 });
      const { id } = await cluster.api().submit({ image: hello, command: ['true'] });
      const waiting = await cluster.task(id, ({ status }) => status === 'PENDING');
      expect(waiting.status_reason).toContain('no node offers a driver for images');
      await bed().engine.start();
      expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED' });
    });
  });
});
