/** Leases: what a node may not run any more is dead before it runs elsewhere, whatever holds the node up. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { bootTimeMs } from '../../src/lib/boot-time.ts';
import { killTimeMs, leaseMsOf } from '../../src/model/lease.ts';
import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const TIMEOUT_MS = 3000;
const PULSE_MS = 50;
/** Between two lines of a task on a machine that is busy. */
const JITTER_MS = 300;

/** Writes the time since boot, in centiseconds, every now and then, until it is killed or the file `finish` is there. */
function pulsing(cluster: TestCluster): object {
  const trace = path.join(cluster.directory, 'pulse-$JARVIS_TASK_ID-$JARVIS_ATTEMPT');
  const finish = path.join(cluster.directory, 'finish');
  const script = `while [ ! -e ${finish} ]; do read up _ < /proc/uptime; echo "$up" >> ${trace}; sleep ${PULSE_MS / 1000}; done`;
  return { command: ['sh', '-c', script], retry_policy: { max_attempts: 1 } };
}

/** When that attempt was first and last seen to run, by CLOCK_BOOTTIME in milliseconds; null: never. */
function lifeOf(cluster: TestCluster, taskId: string, attempt: number): readonly [number, number] | null {
  const file = path.join(cluster.directory, `pulse-${taskId}-${attempt}`);
  // The last line may be half written.
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
  const [first, last] = [lines[0], lines.at(-1)].map((line) => line && Number(line) * 1000);
  return typeof first !== 'number' || typeof last !== 'number' ? null : [first, last];
}

async function untilItRuns(cluster: TestCluster, taskId: string, attempt = 1): Promise<void> {
  await waitFor(`attempt ${attempt} of ${taskId} runs`, () => lifeOf(cluster, taskId, attempt) !== null);
}

/** One task on each node. */
async function oneOnEach(cluster: TestCluster): Promise<ReadonlyMap<string, string>> {
  const tasks = new Map<string, string>();
  for (const _ of cluster.nodes) {
    const { id } = await cluster.api().submit(pulsing(cluster));
    const { node } = await cluster.task(id, ({ status }) => status === 'RUNNING');
    await untilItRuns(cluster, id);
    tasks.set(node ?? '', id);
  }
  expect([...tasks.keys()].sort()).toEqual(cluster.nodes.map(({ name }) => name).sort());
  return tasks;
}

describe('a node whose daemon is stopped for longer than the lease', () => {
  it.each(['leader', 'follower'] as const)(
    'has its task killed before another node starts it: the %s',
    async (role) => {
      const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, capacity: 'cpu=1,memory=1Gi' });
      const tasks = await oneOnEach(cluster);
      const leader = await cluster.leader();
      const [follower] = await cluster.followers();
      const node = role === 'leader' ? leader : follower;
      const other = cluster.nodes.find(({ name }) => name !== node?.name);
      const id = tasks.get(node?.name ?? '') ?? '';
      // Room elsewhere for the second attempt.
      await other?.api.cancel(tasks.get(other.name) ?? '');
      node?.signal('SIGSTOP');
      try {
        await untilItRuns(cluster, id, 2);
      } finally {
        node?.signal('SIGCONT');
      }
      const [, lastOfFirst = 0] = lifeOf(cluster, id, 1) ?? [];
      const [firstOfSecond = 0] = lifeOf(cluster, id, 2) ?? [];
      expect(lastOfFirst).toBeLessThan(firstOfSecond);
      const task = await cluster.task(id, ({ attempts }) => attempts.length === 2);
      expect(task.attempts[0]).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    },
  );
});

describe('a quorum that is lost for longer than the lease', () => {
  it('leaves nothing running, and all goes on by itself when it is back', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const tasks = await oneOnEach(cluster);
    const [first, second, last] = cluster.nodes;
    const lostMs = bootTimeMs();
    for (const node of [first, second]) node?.signal('SIGKILL');
    await Promise.all([first?.ended, second?.ended]);
    const endMs = leaseMsOf(TIMEOUT_MS) + killTimeMs(TIMEOUT_MS);
    await waitFor('the leases are over', () => bootTimeMs() > lostMs + endMs + 2 * JITTER_MS);
    const lives = [...tasks.values()].map((id) => lifeOf(cluster, id, 1)?.[1] ?? 0);
    for (const lastSeen of lives) expect(lastSeen).toBeLessThan(lostMs + endMs + JITTER_MS);
    // The one that was not killed says so, too.
    expect(readFileSync(last?.settings.logFile ?? '', 'utf8')).toMatch(/the lease has run out/);
    for (const node of [first, second]) node?.start();
    await cluster.ready();
    for (const id of tasks.values()) {
      await untilItRuns(cluster, id, 2);
      const { attempts } = await cluster.task(id, ({ status }) => status === 'RUNNING');
      expect(attempts[0]).toMatchObject({ status: 'LOST', error: { type: 'NodeLost' } });
    }
    await cluster.api().submit({ command: ['touch', path.join(cluster.directory, 'finish')] });
    for (const id of tasks.values()) expect((await cluster.finalTask(id)).status).toBe('COMPLETED');
  });
});

describe('a daemon that is stopped in order, and back after longer than its lease', () => {
  const AWAY_MS = 2 * TIMEOUT_MS;

  it.each(['leader', 'follower'] as const)('finds its task running as it left it: the %s', async (role) => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, killTasksOnExit: false });
    const tasks = await oneOnEach(cluster);
    const [follower] = await cluster.followers();
    const node = role === 'leader' ? await cluster.leader() : follower;
    const id = tasks.get(node?.name ?? '') ?? '';
    expect(await node?.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(node?.log()).toContain('running tasks are left running');
    const awayMs = bootTimeMs();
    await waitFor('it is away for long', () => bootTimeMs() > awayMs + AWAY_MS);
    const nodes = await cluster.api().nodes();
    expect(nodes.find(({ name }) => name === node?.name)?.status).toBe('UNHEALTHY');
    await cluster.restart(node?.name ?? '');
    const backMs = bootTimeMs();
    // With leases of the usual length again.
    await waitFor('it runs on', () => (lifeOf(cluster, id, 1)?.[1] ?? 0) > backMs + TIMEOUT_MS);
    expect(lifeOf(cluster, id, 2)).toBeNull();
    expect(await cluster.api().task(id)).toMatchObject({ status: 'RUNNING', attempt: 1, node: node?.name });
    await cluster.api().submit({ command: ['touch', path.join(cluster.directory, 'finish')] });
    expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  it('has lost its task where it asks for no longer lease', async () => {
    const env = { JARVISD_RESTART_GRACE: '0' };
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT, killTasksOnExit: false, env });
    const tasks = await oneOnEach(cluster);
    const [node] = await cluster.followers();
    const id = tasks.get(node?.name ?? '') ?? '';
    await node?.end('SIGTERM');
    await untilItRuns(cluster, id, 2);
    const [, lastOfFirst = 0] = lifeOf(cluster, id, 1) ?? [];
    const [firstOfSecond = 0] = lifeOf(cluster, id, 2) ?? [];
    expect(lastOfFirst).toBeLessThan(firstOfSecond);
  });
});

describe('the timeout', () => {
  it('is changed while the cluster runs, a shorter one once leases of the longer one are over', async () => {
    const cluster = await startCluster({ heartbeat: SHORT_HEARTBEAT });
    const tasks = await oneOnEach(cluster);
    const settings = async (...words: readonly string[]) => {
      const { stdout } = await cluster.cli(['config', ...words, '-o', 'json']);
      return JSON.parse(stdout) as { heartbeat: { timeout: number }; settling_timeout: number | null };
    };
    expect(await settings('set', 'heartbeat.timeout=5s')).toMatchObject({
      heartbeat: { timeout: 5 },
      settling_timeout: null,
    });
    expect(await settings('set', 'heartbeat.timeout=2s')).toMatchObject({
      heartbeat: { timeout: 2 },
      settling_timeout: 5,
    });
    await waitFor('it settles', async () => (await settings('get')).settling_timeout === null);
    for (const id of tasks.values())
      expect(await cluster.api().task(id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  });
});
