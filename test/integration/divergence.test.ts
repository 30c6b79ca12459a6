/** A replica that makes something else of the log than the others: a bug, or memory that flips a bit. */
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { prepareCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

const DIVERGE = {
  NODE_OPTIONS: `--import ${fileURLToPath(new URL('../support/diverge.ts', import.meta.url))}`,
};

async function startWithWrong(wrong: string): Promise<TestCluster> {
  const cluster = await prepareCluster({ heartbeat: SHORT_HEARTBEAT, drivers: 'noop' });
  for (const node of cluster.nodes) node.start([], node.name === wrong ? DIVERGE : {});
  await cluster.ready();
  return cluster;
}

/** Digests are compared at every 64th entry. */
async function submitMany(cluster: TestCluster, to: string): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let count = 0; count < 100; count += 1) {
    const { id } = await cluster.node(to).api.submit({ command: ['noop', '0ms', '0'] });
    ids.push(id);
  }
  return ids;
}

describe('a replica in the minority', () => {
  it('stops, also if it leads, says why, and is not taken back; the others go on with what is right', async () => {
    const cluster = await startWithWrong('n1');
    const right = 'n2';
    const transfer = await cluster.cli(['cluster', 'transfer', 'n1']);
    expect(transfer.status).toBe(0);
    const ids = await submitMany(cluster, right);
    const wrong = cluster.node('n1');
    const end = await waitFor('its end', () => !wrong.isRunning && wrong.ended, { timeoutMs: 30_000 });
    expect(end).toEqual({ code: 2, signal: null });
    expect(wrong.log()).toMatch(
      /jarvisd: the data directory must not be used any more: it has made something else/,
    );
    const leader = await cluster.leader();
    expect(['n2', 'n3']).toContain(leader.name);
    for (const id of ids) expect(await cluster.finalTask(id)).toMatchObject({ status: 'COMPLETED' });

    wrong.start();
    expect(await wrong.ended).toMatchObject({ code: 2 });
    expect((await cluster.node(right).api.cluster()).voters).toContain('n2');
  });
});
