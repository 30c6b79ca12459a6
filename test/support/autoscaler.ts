/** The autoscaler of a real cluster, as tests look at it and meddle with it. */
import { expect } from 'vitest';

import type { TestCluster } from './cluster.ts';
import { waitFor } from './wait.ts';

/** Settings: three nodes, and two more as processes while more than five tasks wait. */
export const TWO_MORE_PROCESSES = {
  enabled: true,
  min_nodes: 3,
  max_nodes: 5,
  interval: '1s',
  provider: 'process',
  process: { capacity: { cpu: '1', memory: '256Mi' } },
  scale_up_rules: [{ metric: 'queue_depth', threshold: 5, count: 2 }],
  scale_down_rules: [{ metric: 'cluster_utilization', threshold: 20, count: 2 }],
};

interface StatusJson {
  readonly nodes: { readonly active: number };
  readonly instances: readonly { readonly id: string; readonly node: string; readonly phase: string }[];
}

export async function scalingStatus(cluster: TestCluster): Promise<StatusJson> {
  return await cluster.api().get<StatusJson>('/autoscaler');
}

export async function setAutoscaling(cluster: TestCluster, autoscaling: object): Promise<void> {
  const stdin = JSON.stringify({ autoscaling });
  expect(await cluster.cli(['config', 'set', '-f', '-'], { stdin })).toMatchObject({ status: 0 });
}

/** As soon as an instance is in one of the phases. The leader comes back once there is another one. */
export async function killLeaderIn(
  cluster: TestCluster,
  phases: readonly string[],
  timeoutMs: number,
): Promise<void> {
  await waitFor(
    `an instance in ${phases.join(' or ')}`,
    async () => (await scalingStatus(cluster)).instances.some(({ phase }) => phases.includes(phase)),
    { timeoutMs },
  );
  const leader = await cluster.leader();
  await leader.end('SIGKILL');
  await cluster.leader({ not: leader.name });
  leader.start();
}
