import { describe, expect, it } from 'vitest';

import { SimulatedNetwork } from './network.test-kit.ts';

function elected(size: number, seed = 1): SimulatedNetwork {
  const network = new SimulatedNetwork(seed, size);
  network.heal(60);
  expect(network.leader()).toBeDefined();
  return network;
}

describe('a quiet cluster', () => {
  it('elects one leader, commits an entry of its term, and replicates what is proposed', () => {
    const network = elected(3);
    for (let count = 0; count < 20; count += 1) expect(network.propose()).toBe(true);
    network.heal(5);
    for (const node of network.nodes.values()) {
      expect(node.applied).toHaveLength(21);
      expect(node.disk.entries).toHaveLength(21);
    }
  });

  it('of one node commits alone, once its own disk has it', () => {
    const network = elected(1);
    network.propose();
    network.settle();
    expect(new TextDecoder().decode(network.committed.get(2)?.data)).toBe('command 1');
  });

  it('keeps its leader while nothing fails', () => {
    const network = elected(5);
    const terms = network.leaders.size;
    network.heal(300);
    expect(network.leaders.size).toBe(terms);
  });
});

describe('a leader that fails', () => {
  it('is replaced, and what was committed stays (paper, section 5.4)', () => {
    const network = elected(3);
    network.propose();
    network.heal(3);
    const old = network.leader();
    const oldId = old?.core.status().id ?? 0;
    network.crash(oldId);
    for (let round = 0; round < 60; round += 1) {
      for (const node of network.nodes.values()) if (node.up) node.core.tick();
      network.settle();
    }
    expect(network.leader()?.core.status().id).not.toBe(oldId);
    expect(network.propose()).toBe(true);
    network.heal(20);
    for (const node of network.nodes.values()) expect(node.applied).toHaveLength(network.committed.size);
  });

  it('steps down when cut off (check-quorum), and does not disturb the others when it returns (pre-vote)', () => {
    const network = elected(3);
    const old = network.leader();
    const oldId = old?.core.status().id ?? 0;
    network.isolate(oldId);
    for (let round = 0; round < 100; round += 1) {
      for (const node of network.nodes.values()) node.core.tick();
      network.settle();
    }
    expect(old?.core.status().role).not.toBe('leader');
    const { term, id } = network.leader()?.core.status() ?? { term: 0, id: 0 };
    expect(id).not.toBe(oldId);
    network.reconnect();
    network.heal(40);
    expect(network.leader()?.core.status()).toMatchObject({ term, id });
    expect(old?.core.status()).toMatchObject({ term, leader: id });
  });

  it('hands over on request, at once', () => {
    const network = elected(3);
    const leader = network.leader();
    const target = leader?.core.status().id === 1 ? 2 : 1;
    leader?.core.transferLeadership(target);
    expect(network.propose()).toBe(false);
    network.settle();
    expect(network.leader()?.core.status().id).toBe(target);
  });

  it('is suspected at once when its stream is reset, but not against the lease of the others', () => {
    const network = elected(3);
    const { id, term } = network.leader()?.core.status() ?? { id: 0, term: 0 };
    const follower = [...network.nodes.values()].find((node) => node.core.status().id !== id);
    follower?.core.leaderStreamReset(id);
    network.heal(30);
    expect(network.leader()?.core.status()).toMatchObject({ id, term });
  });
});

describe('reads', () => {
  it('are refused before the leader has committed in its own term (dissertation, section 6.4)', () => {
    const network = elected(3);
    const follower = [...network.nodes.values()].find((node) => node.core.status().role === 'follower');
    expect(follower?.core.readIndex('r').type).toBe('refused');
    expect(network.leader()?.core.readIndex('r').type).toBe('accepted');
    network.settle();
    expect(network.confirmedReads).toHaveLength(1);
  });

  it('of a leader that is cut off are never confirmed', () => {
    const network = elected(3);
    const leader = network.leader();
    network.isolate(leader?.core.status().id ?? 0);
    leader?.core.readIndex('r');
    network.settle();
    expect(network.confirmedReads).toHaveLength(0);
  });
});

describe('under faults', () => {
  // The seed of a failing run is in the test's name.
  const seeds = Array.from({ length: 60 }, (_, at) => at + 1);

  it.each(seeds)('seed %d: safe at every step, and live once healed', (seed) => {
    const network = new SimulatedNetwork(seed, seed % 2 === 0 ? 3 : 5);
    const faults = { loss: 0.1, crash: 0.004, cut: 0.01, compaction: 0.005, nuisance: 0.003 };
    for (let step = 0; step < 3000; step += 1) network.step(faults);
    for (const { index, atLeast } of network.confirmedReads) expect(index).toBeGreaterThanOrEqual(atLeast);
    network.heal(120);
    expect(network.leader()).toBeDefined();
    expect(network.propose()).toBe(true);
    network.heal(20);
    const lengths = [...network.nodes.values()].map((node) => node.applied.length);
    expect(new Set(lengths)).toEqual(new Set([network.committed.size]));
  });

  it.each(seeds)('seed %d: safe while members come and go', (seed) => {
    const network = new SimulatedNetwork(seed, 3, 3);
    const faults = {
      loss: 0.05,
      crash: 0.002,
      cut: 0.004,
      compaction: 0.005,
      membership: 0.02,
      nuisance: 0.002,
    };
    for (let step = 0; step < 4000; step += 1) network.step(faults);
    for (const { index, atLeast } of network.confirmedReads) expect(index).toBeGreaterThanOrEqual(atLeast);
    network.heal(150);
    const leader = network.leader();
    expect(leader).toBeDefined();
    expect(network.propose()).toBe(true);
    network.heal(20);
    const { voters, votersOutgoing, learners } =
      network.leader()?.core.confState ?? leader?.core.confState ?? never();
    for (const id of [...voters, ...votersOutgoing, ...learners]) {
      expect(network.nodes.get(id)?.applied.length).toBe(network.committed.size);
    }
  });
});

function never(): never {
  throw new Error('there is no leader');
}
