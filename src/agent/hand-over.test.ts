import { describe, expect, it } from 'vitest';

import type { RaftNode } from '../raft/node.ts';
import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import { handOver } from './hand-over.ts';
import { NodeInsight } from './insight.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';

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
    leader.node.propose(Buffer.from('x')).catch(() => {});
    await leader.node.failed.catch(() => {});
    expect(await done(cluster, handOver(leader.node, cluster.clock))).toBe(0);
    await cluster.stop();
  });
});

describe('what a leader knows of the members', () => {
  it('is who they are and how far they have come', async () => {
    const { cluster, leader } = await begin();
    await cluster.propose(leader, 'a');
    const insight = insightOf(leader.node);
    await cluster.until(() =>
      insight.members().every(({ matchIndex }) => matchIndex === insight.commitIndex()),
    );
    const members = insight.members();
    expect(members.map(({ name, raftId, role, active }) => ({ name, raftId, role, active }))).toEqual(
      [1, 2, 3].map((raftId) => ({ name: `n${raftId}`, raftId, role: 'voter', active: true })),
    );
    expect(members.find(({ raftId }) => raftId === leader.id)?.state).toBe('leader');
    expect(members.filter(({ state }) => state === 'replicate')).toHaveLength(2);
    const gone = cluster.members.find((member) => member !== leader);
    cluster.network.cut(gone?.id ?? 0);
    for (let count = 0; count < 40; count += 1) {
      expect(insight.members().filter(({ active }) => active).length).toBeGreaterThanOrEqual(2);
      await cluster.pass();
    }
    expect(
      insight
        .members()
        .filter(({ active }) => !active)
        .map(({ raftId }) => raftId),
    ).toEqual([gone?.id]);
    await cluster.stop();
    await turn();
  });

  it('comes from its duties where it is about nodes', () => {
    const duties = { lastHeartbeatMs: () => 5, usage: () => null } as unknown as LeaderDuties;
    const insight = new NodeInsight({ raft: {} as RaftNode, duties });
    expect(insight.lastHeartbeatMs('n1')).toBe(5);
    expect(insight.usage('n1')).toBeNull();
  });
});

function insightOf(raft: RaftNode): NodeInsight {
  return new NodeInsight({ raft, duties: {} as LeaderDuties });
}
