import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { HungDiskWatch } from './hung-disk.ts';
import { MemoryCluster } from './testing/memory-cluster.ts';

describe('a write to the log that does not end', () => {
  it('is noticed by its age, and the oldest counts', async () => {
    const clock = new VirtualClock();
    const watch = new HungDiskWatch(clock);
    expect(watch.advice).toBe('none');
    watch.handedOut();
    await clock.advance(limits.hungDiskMs - 1);
    watch.handedOut();
    expect(watch.advice).toBe('none');
    await clock.advance(1);
    expect(watch.advice).toBe('handOver');
    await clock.advance(limits.hungDiskMs);
    expect(watch.advice).toBe('resign');
    watch.completed();
    expect(watch.oldestMs).toBe(limits.hungDiskMs + 1);
    watch.completed();
    expect(watch.advice).toBe('none');
  });

  it('makes a leader hand over, and the others go on', async () => {
    const cluster = new MemoryCluster({ size: 3 });
    cluster.start();
    const leader = await cluster.leader();
    await cluster.propose(leader, 'before');
    leader.log.gate.close();
    const lost = leader.node.propose(Buffer.from('held')).catch((error: unknown) => error);
    const others = cluster.members.filter((member) => member !== leader);
    await cluster.until(() => others.some(({ node }) => node.leadership().isLeader), 'another leader');
    const next = others.find(({ node }) => node.leadership().isLeader);
    if (next === undefined) throw new Error('one of the others leads');
    await cluster.propose(next, 'after');
    // It was replicated before the disk of its leader was found to hang.
    expect(next.state.texts).toEqual(['before', 'held', 'after']);
    leader.log.gate.open();
    await cluster.until(() => leader.state.texts.length === 3);
    await lost;
    await cluster.stop();
  });

  it('makes it resign where nobody takes over', async () => {
    const cluster = new MemoryCluster({ size: 1 });
    cluster.start();
    const leader = await cluster.leader();
    leader.log.gate.close();
    leader.node.propose(Buffer.from('held')).catch(() => undefined);
    await cluster.until(() => !leader.node.leadership().isLeader, 'its resignation');
    leader.log.gate.open();
    await cluster.until(() => leader.node.leadership().isLeader, 'its return');
    expect(leader.node.status().term).toBeGreaterThan(1);
    await cluster.stop();
  });
});
