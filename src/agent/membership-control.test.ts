import { afterEach, describe, expect, it } from 'vitest';

import type { MemoryCluster, MemoryMember } from '../raft/testing/memory-cluster.ts';
import { begin, blank, stopAll } from './membership.test-kit.ts';

afterEach(stopAll);

/** A fourth node that has caught up. */
async function withLearner() {
  const scene = await begin();
  const { cluster, leader, change } = scene;
  expect(await change('add', 'n4', { address: 'n4:1' })).toBe('done');
  const id = leader.node.membership.peers.find(({ name }) => name === 'n4')?.raftId ?? 0;
  cluster.join(id);
  await cluster.until(() => leader.node.isCaughtUp(id), 'its catching up');
  return scene;
}

function namesOf({ node }: MemoryMember, kind: 'voters' | 'learners'): readonly string[] {
  const { peers, confState } = node.membership;
  return peers.filter(({ raftId }) => confState[kind].includes(raftId)).map(({ name }) => name);
}

function aFollower(cluster: MemoryCluster, leader: MemoryMember): string {
  return `n${cluster.members.find((member) => member !== leader)?.id ?? 0}`;
}

describe('an operator adds a node', () => {
  it('that waits at the address, under the name and incarnation that it says itself', async () => {
    const { leader, change } = await withLearner();
    expect(namesOf(leader, 'learners')).toEqual(['n4']);
    // Once more changes nothing.
    expect(await change('add', 'n4', { address: 'n4:1' })).toBe('done');
    expect(leader.node.membership.peers).toHaveLength(4);
  });

  it('and is told what stands against it', async () => {
    const { nodes, change, leader } = await begin();
    expect(await change('add', 'n4', { address: 'n5:1' })).toMatchObject({ code: 'unavailable' });
    expect(await change('add', 'n4', { address: 'nowhere' })).toMatchObject({ code: 'invalid' });
    expect(await change('add', '../n4', { address: 'n4:1' })).toMatchObject({ code: 'invalid' });
    nodes.set('n5:1', blank('n6'));
    expect(await change('add', 'n5', { address: 'n5:1' })).toMatchObject({
      code: 'conflict',
      message: 'n5:1 is node "n6", not n5',
    });
    nodes.set('n5:1', blank('n5', { cluster_id: 'another' }));
    expect(await change('add', 'n5', { address: 'n5:1' })).toMatchObject({
      code: 'conflict',
      message: 'node n5 belongs to cluster another already',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
  });
});

describe('an operator exchanges voters', () => {
  it('in one change, from either side', async () => {
    const { cluster, leader, change } = await withLearner();
    const other = aFollower(cluster, leader);
    expect(await change('promote', 'n4', { other })).toBe('done');
    expect(namesOf(leader, 'voters')).toContain('n4');
    expect(namesOf(leader, 'learners')).toEqual([other]);
    // It is so already.
    expect(await change('promote', 'n4', { other })).toBe('done');
    expect(await change('demote', 'n4', { other })).toBe('done');
    expect(namesOf(leader, 'learners')).toEqual(['n4']);
  });

  it('and only of those that vote for those that do not', async () => {
    const { cluster, leader, change } = await withLearner();
    const other = aFollower(cluster, leader);
    const own = `n${leader.id}`;
    expect(await change('promote', other, { other: own })).toMatchObject({
      message: `${other} votes already`,
    });
    expect(await change('demote', 'n9')).toMatchObject({
      code: 'not_found',
      message: 'there is no member "n9"; there are n1, n2, n3, n4',
    });
    expect(await change('promote', 'n4', { other: 'n9' })).toMatchObject({ code: 'not_found' });
    expect(await change('rename', 'n4')).toMatchObject({
      code: 'invalid',
      message: 'action: "rename"; allowed: add, remove, promote, demote',
    });
  });

  it('but changes their number only towards the one that is kept', async () => {
    const { cluster, leader, change, keep } = await withLearner();
    expect(await change('promote', 'n4')).toMatchObject({
      message: '3 voters are kept, and there are 3: say whose place n4 takes',
    });
    const other = aFollower(cluster, leader);
    expect(await change('demote', other)).toMatchObject({ code: 'conflict' });
    keep(5);
    expect(await change('promote', 'n4')).toBe('done');
    expect(namesOf(leader, 'voters')).toHaveLength(4);
    keep(3);
    expect(await change('demote', other)).toBe('done');
    expect(namesOf(leader, 'learners')).toEqual([other]);
  });
});

describe('an operator moves the leadership', () => {
  it('to a voter, by name or to whoever is furthest', async () => {
    const { cluster, leader, transfer } = await begin();
    const heir = aFollower(cluster, leader);
    expect(await transfer(heir)).toBe('done');
    expect(leader.node.leadership()).toMatchObject({ isLeader: false, leader: Number(heir.slice(1)) });
    const another = await begin();
    expect(await another.transfer('')).toBe('done');
    expect(another.leader.node.leadership().isLeader).toBe(false);
  });

  it('to nobody who cannot lead', async () => {
    const { cluster, leader, transfer } = await withLearner();
    expect(await transfer('n4')).toMatchObject({ message: 'n4 does not vote, and only a voter can lead' });
    expect(await transfer('n9')).toMatchObject({ code: 'not_found' });
    expect(await transfer(`n${leader.id}`)).toBe('done');
    const silent = aFollower(cluster, leader);
    const id = Number(silent.slice(1));
    cluster.network.cut(id);
    await cluster.until(() => !leader.node.isActive(id), 'its silence');
    expect(await transfer(silent)).toMatchObject({ message: `${silent} does not answer` });
    expect(leader.node.leadership().isLeader).toBe(true);
    const alone = await begin(1);
    expect(await alone.transfer('')).toMatchObject({ message: 'no other voter answers' });
  });
});

describe('a member that is removed', () => {
  it('is barred before it is none any more', async () => {
    const { leader, barred, change } = await begin();
    const { name = '' } = leader.node.membership.peers.find(({ raftId }) => raftId !== leader.id) ?? {};
    expect(await change('remove', name)).toBe('done');
    expect(barred).toEqual([[name, true]]);
    expect(leader.node.membership.peers.some((peer) => peer.name === name)).toBe(false);
    expect(await change('remove', 'nobody')).toMatchObject({ code: 'not_found' });
    expect(barred).toHaveLength(1);
  });
});

describe('the last voter', () => {
  it('stays', async () => {
    const { leader, change } = await begin(1);
    expect(await change('remove', 'n1')).toMatchObject({ code: 'conflict' });
    expect(namesOf(leader, 'voters')).toEqual(['n1']);
  });
});
