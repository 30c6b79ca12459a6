import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { LoneCore, voting } from './core/lone-core.test-kit.ts';
import { ProposalQueue } from './proposal-queue.ts';
import { PendingProposals } from './proposals.ts';
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

/** A leader of three that may have 100 bytes uncommitted, and what became of what was added. */
function narrow() {
  const lone = new LoneCore({ maxUncommittedBytes: 100 });
  lone.lead();
  lone.acknowledge(2, 3);
  lone.settle();
  const clock = new VirtualClock();
  const queue = new ProposalQueue({ core: lone.core, proposals: new PendingProposals(clock), clock });
  const refused: string[] = [];
  const add = (bytes: number): void => {
    queue
      .add(new Uint8Array(bytes))
      .catch((error: { code: string }) => refused.push(`${bytes}:${error.code}`));
  };
  return { lone, clock, queue, refused, add };
}

describe('proposals that are too much together', () => {
  it('wait in their order until there is room, each', () => {
    const { lone, queue, refused, add } = narrow();
    for (const bytes of [60, 40, 70, 10]) add(bytes);
    queue.flush();
    expect(lone.core.status().uncommittedBytes).toBe(100);
    queue.flush();
    expect(lone.core.status().uncommittedBytes).toBe(100);
    lone.settle();
    lone.acknowledge(2);
    lone.settle();
    queue.flush();
    expect(lone.core.status().uncommittedBytes).toBe(80);
    expect(refused).toEqual([]);
  });

  it('do not pass the bound where nothing is uncommitted either, but for a single one', () => {
    const { lone, queue, add } = narrow();
    add(150);
    add(1);
    queue.flush();
    expect(lone.core.status().uncommittedBytes).toBe(150);
    expect(lone.core.propose([new Uint8Array(1)])).toMatchObject({ reason: 'overloaded' });
  });

  it('are refused one by one where no room is made in time', async () => {
    const { clock, queue, refused, add } = narrow();
    add(90);
    add(20);
    queue.flush();
    await clock.advance(limits.proposalQueueMs - 1);
    add(30);
    queue.flush();
    await new Promise(setImmediate);
    expect(refused).toEqual([]);
    await clock.advance(1);
    queue.flush();
    await new Promise(setImmediate);
    expect(refused).toEqual(['20:too_many']);
  });

  it('are refused at once where too much waits already', async () => {
    const { queue, refused, add } = narrow();
    for (let bytes = 0; bytes < limits.proposalQueueBytes; bytes += limits.entryBytes) add(limits.entryBytes);
    add(1);
    queue.flush();
    await new Promise(setImmediate);
    expect(refused).toEqual(['1:too_many']);
  });

  it('are told so where this node leads no more', async () => {
    const { lone, queue, refused, add } = narrow();
    add(90);
    add(20);
    queue.flush();
    lone.core.resign();
    queue.flush();
    await new Promise(setImmediate);
    expect(refused).toEqual(['20:no_leader']);
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

describe('a log that grows while a snapshot is written', () => {
  it('takes no more beyond its bound until the snapshot has come', async () => {
    const lone = new LoneCore({ maxUncommittedBytes: 1000 });
    lone.lead();
    const clock = new VirtualClock();
    const proposals = new PendingProposals(clock);
    const queue = new ProposalQueue({ core: lone.core, proposals, clock, maxLogBytes: 500 });
    const added = queue.add(new Uint8Array(400));
    added.catch(() => {});
    queue.flush();
    await expect(queue.add(new Uint8Array(100))).rejects.toMatchObject({
      code: 'too_many',
      message: 'the log is full until a snapshot of the state has been written',
    });
    lone.settle();
    lone.acknowledge(2);
    lone.settle();
    const { applied } = lone.core.status();
    lone.core.compact({ index: applied, term: 1, confState: voting(1, 2, 3) }, applied);
    queue.add(new Uint8Array(100)).catch(() => {});
    queue.flush();
    expect(lone.core.logBytes).toBeGreaterThan(100);
  });
});
