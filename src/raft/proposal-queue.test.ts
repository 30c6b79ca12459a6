import { describe, expect, it } from 'vitest';

import { MemoryCluster, type MemoryMember } from './testing/memory-cluster.ts';

describe('proposals while leadership is handed over', () => {
  it('wait, and go on here where the other does not take it', async () => {
    const cluster = new MemoryCluster({ size: 3 });
    cluster.start();
    const leader = await cluster.leader();
    const other = cluster.members.find((member) => member !== leader);
    if (other === undefined) throw new Error('there are others');
    await cluster.propose(leader, 'a');
    cluster.network.cut(other.id);
    leader.node.transferLeadership(other.id);
    expect(await cluster.propose(leader, 'b')).toBe('2');
    expect(leader.node.leadership().isLeader).toBe(true);
    await cluster.stop();
  });
});

async function withoutLeader(deferred: (others: readonly MemoryMember[]) => readonly MemoryMember[]) {
  const cluster = new MemoryCluster({ size: 3 });
  cluster.start();
  const leader = await cluster.leader();
  const others = cluster.members.filter((member) => member !== leader);
  for (const { node } of deferred(others)) node.setDeferred(true);
  await cluster.lose(leader.id);
  return { cluster, others };
}

describe('a member that is to lead only where nobody else does', () => {
  it('comes after the others', async () => {
    const { cluster, others } = await withoutLeader(([first]) => (first === undefined ? [] : [first]));
    const next = await cluster.leader();
    expect(next).toBe(others[1]);
    await cluster.stop();
  });

  it('leads where all others are so, too', async () => {
    const { cluster, others } = await withoutLeader((all) => all);
    expect(others).toContain(await cluster.leader());
    await cluster.stop();
  });
});
