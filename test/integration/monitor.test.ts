/** What nodes measure of themselves and of the processes of their tasks, asked at any peer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { TestCluster } from '../support/cluster.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;
/** Held by a task; and by how much it is told apart from one that holds nothing. */
const [HELD, APART] = [96 * MIB, 48 * MIB];

interface SampleJson {
  readonly at: string;
  readonly cpu_cores: number | null;
}

interface AttemptUsageJson {
  readonly task_id: string;
  readonly attempt: number;
  readonly driver: string;
  readonly cpu_cores: number;
  readonly memory_bytes: number;
  readonly memory_limit_bytes: number | null;
  readonly pids: number;
  readonly sampled_at: string;
}

interface NodeUsageJson {
  readonly node: string;
  readonly usage: Readonly<Record<string, number>> | null;
  readonly history: readonly SampleJson[];
  readonly attempts: readonly AttemptUsageJson[];
}

type TaskUsageJson = AttemptUsageJson & { readonly node: string; readonly history: readonly SampleJson[] };

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.create();
  await cluster.startOrTell();
});

afterAll(async () => {
  await cluster.dispose();
});

async function running(name: string, script: string): Promise<string> {
  const spec = { name, command: ['sh', '-c', script], resources: { cpu: '50m', memory: '64Mi' } };
  const { id } = await cluster.api().submit(spec);
  await cluster.task(id, ({ status }) => status === 'RUNNING');
  return id;
}

function usageOf(id: string, api = cluster.api()): Promise<TaskUsageJson> {
  return api.get<TaskUsageJson>(`/tasks/${id}/usage`);
}

async function until(id: string, holds: (usage: TaskUsageJson) => boolean): Promise<TaskUsageJson> {
  let last: TaskUsageJson | null = null;
  try {
    await waitFor('the usage that is expected', async () => {
      last = await usageOf(id);
      return holds(last);
    });
  } catch (error) {
    throw new Error(`the usage was ${JSON.stringify(last)}`, { cause: error });
  }
  return last as unknown as TaskUsageJson;
}

describe('the resource monitor', () => {
  it('tells the tasks apart that burn, hold and do nothing, at any peer', async () => {
    const burning = await running('burn', 'while :; do :; done');
    const holding = await running('hold', `(head -c ${HELD} /dev/zero; sleep 600) | tail`);
    const idle = await running('idle', 'sleep 600');

    const quiet = await until(idle, () => true);
    await until(holding, ({ memory_bytes: bytes }) => bytes > quiet.memory_bytes + APART);
    // Most of its life lies between samples by now; an idle one has used next to nothing ever since it began.
    const burnt = await until(
      burning,
      ({ cpu_cores: cores }) => cores > 10 * quiet.cpu_cores && cores > 0.01,
    );
    expect(burnt).toMatchObject({ driver: 'process', attempt: 1, memory_limit_bytes: null });
    expect((await until(holding, ({ pids }) => pids >= 3)).pids).toBeGreaterThan(quiet.pids);

    const { node } = await cluster.api().task(burning);
    for (const { api } of cluster.nodes) {
      expect(await usageOf(burning, api)).toMatchObject({ task_id: burning, node });
      const ofNode = await api.get<NodeUsageJson>(`/nodes/${node}/usage?limit=1`);
      expect(ofNode).toMatchObject({ node, attempts: [{ task_id: burning }] });
    }
    expect((await cluster.api().task(idle)).status).toBe('RUNNING');
    for (const id of [burning, holding, idle]) await cluster.api().cancel(id);
    for (const id of [burning, holding, idle]) await cluster.finalTask(id);
    await expect(usageOf(burning)).rejects.toMatchObject({ status: 409 });
  });

  it('tells what a node uses, the sizes of what it has, and a history that grows', async () => {
    let answer: NodeUsageJson | null = null;
    await waitFor('a history', async () => {
      answer = await cluster.node('n2').api.get<NodeUsageJson>('/nodes/n2/usage');
      return answer.history.length > 0;
    });
    const { usage, history } = answer as unknown as NodeUsageJson;
    expect(usage?.['memory_size_bytes']).toBeGreaterThan(usage?.['memory_bytes'] ?? Infinity);
    expect(usage?.['disk_size_bytes']).toBeGreaterThan(usage?.['disk_bytes'] ?? Infinity);
    expect(history[0]).toMatchObject({ cpu_percent: expect.any(Number), memory_bytes: expect.any(Number) });
    const since = new Date(Date.now() + 60_000).toISOString();
    const none = await cluster.node('n3').api.get<NodeUsageJson>(`/nodes/n2/usage?since=${since}`);
    expect(none.history).toEqual([]);
    await expect(cluster.api().get('/nodes/n9/usage')).rejects.toMatchObject({ status: 404 });
  });

  it('measures tasks again that a daemon has taken over from the one before', async () => {
    const id = await running('survivor', 'while :; do :; done');
    const { node } = await cluster.api().task(id);
    await cluster.kill(node ?? '');
    await cluster.restart(node ?? '');
    await cluster.task(id, ({ status, attempt }) => status === 'RUNNING' && attempt === 1);
    const found = await waitFor('it is measured again', async () => {
      const answer = await cluster.api().get<NodeUsageJson>(`/nodes/${node}/usage`);
      return answer.attempts.find(({ task_id: taskId }) => taskId === id) ?? null;
    });
    expect(found.cpu_cores).toBeGreaterThan(0);
    await cluster.api().cancel(id);
    await cluster.finalTask(id);
  });
});
