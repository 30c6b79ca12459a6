import { describe, expect, it } from 'vitest';

import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import { handOver } from './hand-over.ts';

async function begin(size = 3) {
  const cluster = new MemoryCluster({ size });
  cluster.start();
  const leader = await cluster.leader();
  return { cluster, leader };
}

async function done(cluster: MemoryCluster, promise: Promise<void>): Promise<number> {
  const startMs = cluster.clock.monotonicMs();
  let isDone = false;
  void promise.then(() => (isDone = true));
  await cluster.until(() => isDone);
  return cluster.clock.monotonicMs() - startMs;
}

describe('a leader that stops', () => {
  it('hands its leadership to another voter, without an election timeout in between', async () => {
    const { cluster, leader } = await begin();
    const tookMs = await done(cluster, handOver(leader.node, cluster.clock));
    expect(tookMs).toBeLessThan(200);
    const next = await cluster.leader();
    expect(next).not.toBe(leader);
    await cluster.stop();
  });

  it('waits no longer than a second for an heir that does not take it', async () => {
    const { cluster, leader } = await begin();
    for (const { id } of cluster.members) if (id !== leader.id) cluster.network.cut(id);
    const tookMs = await done(cluster, handOver(leader.node, cluster.clock));
    expect(tookMs).toBeLessThanOrEqual(1050);
    await cluster.stop();
  });

  it('does not wait where there is nobody, where it follows, or where it has failed', async () => {
    const alone = await begin(1);
    expect(await done(alone.cluster, handOver(alone.leader.node, alone.cluster.clock))).toBe(0);
    await alone.cluster.stop();
    const { cluster, leader } = await begin();
    const follower = cluster.members.find((member) => member !== leader) ?? leader;
    expect(await done(cluster, handOver(follower.node, cluster.clock))).toBe(0);
    leader.log.fail(new Error('gone'));
    // Both fail, as is wanted: the node has to have failed before it is asked.
    leader.node.propose(Buffer.from('x')).catch(() => {});
    await leader.node.failed.catch(() => {});
    expect(await done(cluster, handOver(leader.node, cluster.clock))).toBe(0);
    await cluster.stop();
  });
});
