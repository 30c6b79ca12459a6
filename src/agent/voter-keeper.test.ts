import { afterEach, describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import { silentLog } from '../lib/log.ts';
import { CLUSTER_VERSION, FIRST_CLUSTER_VERSION } from '../lib/cluster-version.ts';
import type { Outcome } from '../model/commands.ts';
import type { ClusterRow } from '../model/cluster.ts';
import { MemoryCluster, type MemoryMember } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import { AUTOPILOT_DEFAULTS } from './leader/autopilot.ts';
import { learnersAllowed, targetVotersOf, VoterKeeper } from './voter-keeper.ts';

const GRACE_MS = 20_000;
const clusters: MemoryCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  await turn();
});

interface Scene {
  readonly size?: number;
  readonly voters?: number;
  readonly learners?: number;
  readonly zones?: Readonly<Record<string, string>>;
  readonly version?: number;
  /** There are as many nodes without a copy as there may be. */
  readonly isFull?: boolean;
}

function rowOf({ voters = 3, learners = 20, version = CLUSTER_VERSION }: Scene): ClusterRow {
  return {
    clusterId: 'c',
    epoch: 1,
    version,
    formedAtMs: 0,
    timeMs: 0,
    assignmentCounter: 0,
    sessionCounter: 0,
    config: {
      heartbeat: { intervalMs: 1, warningMs: 2, timeoutMs: 3 },
      membership: { voters, learners, voterGraceMs: GRACE_MS },
    },
  };
}

/** The keeper needs no more of the state than the settings, the labels of nodes, and who works without a copy. */
function replicaOf(scene: Scene) {
  const zones = Object.entries(scene.zones ?? {});
  const nodes = new Map(zones.map(([name, zone]) => [name, { labels: [['zone', zone]] }]));
  const copylessNodes = new Map<string, CommandInput>();
  const replica = {
    state: { cluster: rowOf(scene), nodes, copylessNodes },
    propose: async (command: CommandInput): Promise<Outcome> => {
      if (command.type === 'admitCopyless' && scene.isFull === true)
        return { type: 'refused', code: 'conflict', message: 'full' };
      if (command.type === 'admitCopyless') copylessNodes.set(command.name, command);
      if (command.type === 'dismissCopyless') copylessNodes.delete(command.name);
      return { type: 'done', result: null };
    },
  };
  return { copylessNodes, replica: replica as unknown as Pick<Replica, 'propose' | 'state'> };
}

async function begin(scene: Scene = {}) {
  const cluster = new MemoryCluster({ size: scene.size ?? 3 });
  clusters.push(cluster);
  cluster.start();
  const leader = await cluster.leader();
  const { replica, copylessNodes } = replicaOf(scene);
  const keeper = new VoterKeeper({ raft: leader.node, replica, clock: cluster.clock, log: silentLog });
  return { cluster, leader, keeper, copylessNodes };
}

async function addLearner(cluster: MemoryCluster, leader: MemoryMember, name: string): Promise<MemoryMember> {
  const node = { name, incarnation: name, address: `${name}:1` };
  void leader.node.changeMembership({ type: 'add', node, learnersAllowed: 20 });
  const idOf = (): number | undefined =>
    leader.node.membership.peers.find((peer) => peer.name === name)?.raftId;
  await cluster.until(() => idOf() !== undefined, 'its being a member');
  const id = idOf() ?? 0;
  const member = cluster.join(id);
  await cluster.until(() => leader.node.isCaughtUp(id), 'its catching up');
  return member;
}

function votersOf({ node }: MemoryMember): readonly number[] {
  return [...node.membership.confState.voters].sort((a, b) => a - b);
}

function learnersOf({ node }: MemoryMember): readonly number[] {
  return node.membership.confState.learners;
}

/** Out of any joint configuration. */
function isSettled({ node }: MemoryMember): boolean {
  return node.membership.confState.votersOutgoing.length === 0;
}

async function pass(cluster: MemoryCluster, durationMs: number): Promise<void> {
  const endMs = cluster.clock.monotonicMs() + durationMs;
  while (cluster.clock.monotonicMs() < endMs) await cluster.pass();
}

describe('the keeper of voters', () => {
  it('takes nobody for dead because this process stood still', async () => {
    const { cluster, leader, keeper } = await begin({ size: 2 });
    await addLearner(cluster, leader, 'n3');
    keeper.start();
    await pass(cluster, AUTOPILOT_DEFAULTS.stabilizationMs - 6000);
    cluster.clock.freeze(5000);
    await pass(cluster, 4000);
    expect(votersOf(leader)).toHaveLength(3);
    keeper.stop();
  });

  it('replaces a voter by a learner once it has been dead for the grace time, and not before', async () => {
    const { cluster, leader, keeper } = await begin();
    const fourth = await addLearner(cluster, leader, 'n4');
    keeper.start();
    const dead = [1, 2, 3].find((id) => id !== leader.id) ?? 0;
    await cluster.lose(dead);
    await pass(cluster, GRACE_MS - limits.autopilotIntervalMs);
    expect(votersOf(leader)).toEqual([1, 2, 3]);
    await cluster.until(() => isSettled(leader) && votersOf(leader).includes(fourth.id), 'the replacement');
    expect(votersOf(leader)).not.toContain(dead);
    expect(leader.node.membership.confState).toMatchObject({ learners: [dead] });
    keeper.stop();
  });

  it('leaves a voter alone that comes back in time: its next death counts from its beginning', async () => {
    const { cluster, leader, keeper } = await begin();
    await addLearner(cluster, leader, 'n4');
    keeper.start();
    const silent = [1, 2, 3].find((id) => id !== leader.id) ?? 0;
    for (let times = 0; times < 2; times += 1) {
      cluster.network.cut(silent);
      await pass(cluster, (GRACE_MS * 2) / 3);
      cluster.network.heal();
      await cluster.until(() => leader.node.isActive(silent), 'its being heard of');
      await pass(cluster, limits.autopilotIntervalMs * 2);
    }
    expect(votersOf(leader)).toEqual([1, 2, 3]);
    keeper.stop();
  });

  it('promotes a learner where voters are missing, once it has been there for a while', async () => {
    const { cluster, leader, keeper } = await begin({ size: 1, voters: 3 });
    const second = await addLearner(cluster, leader, 'n2');
    const third = await addLearner(cluster, leader, 'n3');
    keeper.start();
    const startMs = cluster.clock.monotonicMs();
    await cluster.until(() => isSettled(leader) && votersOf(leader).length === 3, 'three voters');
    expect(votersOf(leader)).toEqual([1, second.id, third.id]);
    expect(cluster.clock.monotonicMs() - startMs).toBeGreaterThan(AUTOPILOT_DEFAULTS.stabilizationMs);
    keeper.stop();
  });

  it('demotes voters beyond the target, and never the leader', async () => {
    const { cluster, leader, keeper } = await begin({ size: 5, voters: 3 });
    keeper.start();
    await cluster.until(() => isSettled(leader) && votersOf(leader).length === 3, 'three voters');
    expect(votersOf(leader)).toContain(leader.id);
    expect(leader.node.membership.confState.learners).toHaveLength(2);
    keeper.stop();
  });

  it('spreads the voters over the zones that the labels of their nodes name', async () => {
    const zones = { n1: 'a', n2: 'a', n3: 'a', n4: 'b' };
    const { cluster, leader, keeper } = await begin({ zones });
    const fourth = await addLearner(cluster, leader, 'n4');
    keeper.start();
    await cluster.until(() => votersOf(leader).includes(fourth.id), 'a voter in zone b');
    expect(votersOf(leader)).toHaveLength(3);
    keeper.stop();
  });

  it('does nothing once it is stopped', async () => {
    const { cluster, leader, keeper } = await begin({ size: 5, voters: 3 });
    keeper.start();
    keeper.stop();
    await pass(cluster, GRACE_MS);
    expect(votersOf(leader)).toHaveLength(5);
  });
});

describe('nodes without a copy', () => {
  it('are what living learners are let in as before they are removed, being too many', async () => {
    const { cluster, leader, keeper, copylessNodes } = await begin({ learners: 1 });
    for (const name of ['n4', 'n5']) await addLearner(cluster, leader, name);
    let admittedFirst: boolean | null = null;
    leader.node.onMembership(() => (admittedFirst ??= copylessNodes.has('n5')));
    keeper.start();
    await cluster.until(() => learnersOf(leader).length === 1, 'one learner');
    expect(admittedFirst).toBe(true);
    expect([...copylessNodes.values()]).toEqual([
      { type: 'admitCopyless', name: 'n5', incarnation: 'n5', address: 'n5:1' },
    ]);
    // It is what it is: nobody takes it for a member any more.
    await pass(cluster, limits.autopilotIntervalMs * 3);
    expect([...copylessNodes.keys()]).toEqual(['n5']);
    keeper.stop();
  });

  it('are those that are silent for a moment, and none of those that are dead for longer', async () => {
    const { cluster, leader, keeper, copylessNodes } = await begin({ learners: 2 });
    const lose = async (name: string): Promise<void> => {
      const id = leader.node.membership.peers.find((peer) => peer.name === name)?.raftId ?? 0;
      await cluster.lose(id);
      await cluster.until(() => !leader.node.isActive(id), 'its silence');
    };
    for (const name of ['n4', 'n5']) await addLearner(cluster, leader, name);
    keeper.start();
    await lose('n4');
    await pass(cluster, GRACE_MS + limits.autopilotIntervalMs);
    await addLearner(cluster, leader, 'n6');
    await cluster.until(() => learnersOf(leader).length === 2, 'two learners');
    expect(leader.node.membership.peers.map(({ name }) => name)).not.toContain('n4');
    expect([...copylessNodes.keys()]).toEqual([]);
    await lose('n5');
    await addLearner(cluster, leader, 'n7');
    await cluster.until(() => learnersOf(leader).length === 2, 'two learners');
    expect([...copylessNodes.keys()]).toEqual(['n5']);
    keeper.stop();
  });

  it('are none of a cluster that does not know of them', async () => {
    const earlier = await begin({ learners: 0, version: FIRST_CLUSTER_VERSION });
    await addLearner(earlier.cluster, earlier.leader, 'n4');
    earlier.keeper.start();
    await earlier.cluster.until(() => learnersOf(earlier.leader).length === 0, 'no learner');
    expect([...earlier.copylessNodes.keys()]).toEqual([]);
    earlier.keeper.stop();
  });

  it('stay learners where no more can be without a copy', async () => {
    const { cluster, leader, keeper } = await begin({ learners: 0, isFull: true });
    await addLearner(cluster, leader, 'n4');
    keeper.start();
    await pass(cluster, limits.autopilotIntervalMs * 3);
    expect(learnersOf(leader)).toHaveLength(1);
    keeper.stop();
  });

  it('are dismissed once they are members, one after the other', async () => {
    const { cluster, leader, keeper, copylessNodes } = await begin();
    for (const name of ['n4', 'n5']) {
      await addLearner(cluster, leader, name);
      copylessNodes.set(name, { type: 'admitCopyless', name, incarnation: name, address: `${name}:1` });
    }
    copylessNodes.set('n6', { type: 'admitCopyless', name: 'n6', incarnation: 'n6', address: 'n6:1' });
    keeper.start();
    await cluster.until(() => copylessNodes.size < 3, 'the first');
    expect(copylessNodes.size).toBe(2);
    await cluster.until(() => copylessNodes.size < 2, 'the second');
    await pass(cluster, limits.autopilotIntervalMs * 3);
    expect([...copylessNodes.keys()]).toEqual(['n6']);
    keeper.stop();
  });

  it('become learners for a voter only once that is dead for the grace time', async () => {
    const { cluster, leader, keeper } = await begin({ learners: 2 });
    const followers = [1, 2, 3].filter((id) => id !== leader.id);
    await cluster.until(() => followers.every((id) => leader.node.isActive(id)), 'all voters');
    keeper.start();
    expect(keeper.learnersWanted()).toBe(2);
    const [silent = 0] = followers;
    cluster.network.cut(silent);
    await cluster.until(() => !leader.node.isActive(silent), 'its silence');
    await pass(cluster, GRACE_MS / 2);
    expect(keeper.learnersWanted()).toBe(2);
    await pass(cluster, GRACE_MS);
    expect(keeper.learnersWanted()).toBe(3);
    keeper.stop();
  });
});

describe('the settings of the membership', () => {
  it('say how many voters are kept; before there were any, three or all', () => {
    expect(targetVotersOf(rowOf({ voters: 5 }), 3)).toBe(5);
    expect(targetVotersOf(null, 2)).toBe(2);
    expect(targetVotersOf(null, 9)).toBe(3);
  });

  it('let in as many learners as are kept, and one for each voter that does not answer', async () => {
    const { cluster, leader } = await begin();
    const followers = [1, 2, 3].filter((id) => id !== leader.id);
    await cluster.until(() => followers.every((id) => leader.node.isActive(id)), 'all voters');
    expect(learnersAllowed(rowOf({ learners: 2 }), leader.node)).toBe(2);
    const [silent = 0] = followers;
    cluster.network.cut(silent);
    await cluster.until(() => !leader.node.isActive(silent), 'its silence');
    expect(learnersAllowed(rowOf({ learners: 2 }), leader.node)).toBe(3);
    expect(learnersAllowed(null, leader.node)).toBe(21);
  });
});
