/** Nodes come as containers of the project's own image for a queue of 500 tasks, and go with it, while leaders are killed half-way. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { killLeaderIn, scalingStatus, setAutoscaling } from '../support/autoscaler.ts';
import { SHORT_HEARTBEAT, TestCluster } from '../support/cluster.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { waitFor } from '../support/wait.ts';
import { linesOf } from '../support/workload.ts';

const IMAGE = 'jarvis-that-scales:1';
const FOUNDERS = ['n1', 'n2', 'n3'];
const TASKS = 500;
const BUILD_DEADLINE_MS = 110_000;
const LONG_MS = 120_000;
const SAMPLE_MS = 200;
const script = path.join(import.meta.dirname, '../../scripts/build-image.mjs');

/** Asks again and again who votes, and how many of them may fail. */
class VoterWatch {
  readonly #cluster: TestCluster;
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;
  /** Answers in which it was not as it has to be. */
  readonly bad: string[] = [];
  looks = 0;
  /** How many may fail at the least; one less while a founder is down. */
  least = 1;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#done = this.#run();
  }

  /** A founder is down, or may be, until none is missed any more. */
  async hurting(work: () => Promise<void>): Promise<void> {
    this.least = 0;
    await work();
    await this.#cluster.ready();
    await waitFor('three voters that answer', async () => (await this.#look()).failure_tolerance === 1);
    this.least = 1;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const { least } = this;
      const found = await this.#look().catch(() => null);
      // Nobody answers for a moment as a leader is killed; another one is waited for there.
      if (found !== null && found.failure_tolerance !== null) {
        this.looks += 1;
        const { failure_tolerance: tolerance, voters } = found;
        if (tolerance < Math.min(least, this.least) || voters.toSorted().join(',') !== FOUNDERS.join(','))
          this.bad.push(`${voters.join(',')}: ${tolerance} may fail`);
      }
      // Between two samples, not for anything to happen; its only failure is that the watch was stopped.
      await delay(SAMPLE_MS, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    }
  }

  async #look() {
    const leader = await this.#cluster.leader({ timeoutMs: 5000 });
    return leader.api.cluster({ timeoutMs: 5000 });
  }
}

describeWithBed('the autoscaler with containers', (bed) => {
  let cluster: TestCluster;

  beforeAll(async () => {
    await promisify(execFile)(process.execPath, [script, '--tag', IMAGE, '--base', 'local'], {
      env: { ...process.env, DOCKER_HOST: bed().dockerHost },
      timeout: BUILD_DEADLINE_MS,
    });
    cluster = await TestCluster.create({
      heartbeat: SHORT_HEARTBEAT,
      capacity: 'cpu=1,memory=1Gi',
      env: { DOCKER_HOST: bed().dockerHost },
    });
    await cluster.start();
  });

  afterAll(async () => {
    for (const { Id, Labels } of await bed().engine.api.list())
      if ('jarvis:cluster' in Labels) await bed().engine.api.remove(Id);
    await cluster.dispose();
  });

  async function leftovers(): Promise<readonly string[]> {
    const { text } = await bed().engine.api.send('GET', '/volumes');
    const { Volumes: volumes } = JSON.parse(text) as { Volumes: readonly { Name: string }[] | null };
    const containers = (await bed().engine.api.list()).map(({ Names }) => Names.join());
    return [...containers, ...(volumes ?? []).map(({ Name }) => Name)];
  }

  it(
    'does each of 500 tasks once, never endangers the voters, and leaves nothing',
    { timeout: 3 * LONG_MS },
    async () => {
      const marks = path.join(cluster.directory, 'shared');
      const [gate, trace] = [path.join(marks, 'gate'), path.join(marks, 'trace')];
      mkdirSync(marks);
      writeFileSync(trace, '');
      // Nodes in containers are another user.
      chmodSync(marks, 0o777);
      chmodSync(trace, 0o666);
      const watch = new VoterWatch(cluster);
      try {
        await setAutoscaling(cluster, {
          enabled: true,
          min_nodes: 3,
          max_nodes: 5,
          interval: '1s',
          provider: 'docker',
          docker: {
            image: IMAGE,
            capacity: { cpu: '1', memory: '256Mi' },
            network: 'host',
            mounts: [`${marks}:${marks}`],
          },
          scale_up_rules: [{ metric: 'queue_depth', threshold: 50, count: 2 }],
          scale_down_rules: [{ metric: 'cluster_utilization', threshold: 20, count: 2 }],
        });
        // None ends before all nodes have some.
        const line = `while [ ! -e ${gate} ]; do sleep 0.2; done; echo "$JARVIS_TASK_ID $JARVIS_NODE" >> ${trace}`;
        const resources = { cpu: '250m', memory: '16Mi' };
        const template = { name: 'short', command: ['sh', '-c', line], resources };
        const body = JSON.stringify({ template, count: TASKS });
        const answer = await cluster.api().call('POST', '/tasks/batch', body);
        expect(answer.status).toBe(201);
        const { batch_id: batch } = JSON.parse(answer.text) as { batch_id: string };

        await watch.hurting(() => killLeaderIn(cluster, ['REQUESTED', 'CREATED'], LONG_MS));
        // Three, where the leader was away for so long that another node was to take its place.
        const added = await waitFor(
          'two more nodes that work',
          async () => {
            const nodes = await cluster.api().nodes();
            const work = nodes.filter((node) => !FOUNDERS.includes(node.name) && node.active_tasks > 0);
            return work.length >= 2 && work;
          },
          { timeoutMs: LONG_MS },
        );
        const containers = (await bed().engine.api.list()).map(({ Labels }) => Labels['jarvis:node']);
        expect(containers).toEqual(expect.arrayContaining(added.map(({ name }) => name)));
        writeFileSync(gate, '');
        await waitFor(
          'the batch',
          async () =>
            (await cluster.api().get<{ status: string }>(`/batches/${batch}`)).status === 'COMPLETED',
          { timeoutMs: LONG_MS },
        );
        await watch.hurting(() => killLeaderIn(cluster, ['DRAINING', 'LEAVING', 'TERMINATING'], LONG_MS));
        await waitFor('no instances', async () => (await scalingStatus(cluster)).instances.length === 0, {
          timeoutMs: LONG_MS,
        });

        const lines = linesOf(trace);
        const tasks = (await cluster.api().tasks()).map(({ id }) => id);
        expect(tasks).toHaveLength(TASKS);
        expect(lines.map((each) => each.split(' ')[0] ?? '').sort()).toEqual(tasks.toSorted());
        const nodes = new Set(lines.map((each) => each.split(' ')[1]));
        for (const { name } of added) expect(nodes).toContain(name);
        expect((await cluster.api().nodes()).map(({ name }) => name).sort()).toEqual(FOUNDERS);
        expect((await cluster.api().cluster()).members.map(({ name }) => name).sort()).toEqual(FOUNDERS);
        expect(await leftovers()).toEqual([]);
      } catch (error) {
        process.stderr.write(cluster.logTails());
        throw error;
      } finally {
        await watch.stop();
      }
      expect(watch.bad).toEqual([]);
      expect(watch.looks).toBeGreaterThan(10);
    },
  );
});
