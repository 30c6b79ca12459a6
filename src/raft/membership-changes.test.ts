import { afterEach, describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import type { MembershipChange } from './membership-change.ts';
import { MemoryCluster, type MemoryMember } from './testing/memory-cluster.ts';
import { turn } from './testing/memory-stores.ts';

const clusters: MemoryCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  // A rejection that nobody heard of shows now, and fails the run.
  await turn();
});

async function begin(snapshotEntries = 1000, size = 3): Promise<MemoryCluster> {
  const snapshotBounds = { entries: snapshotEntries, logBytes: 1_000_000 };
  const cluster = new MemoryCluster({ size, snapshotBounds });
  clusters.push(cluster);
  cluster.start();
  await cluster.propose(await cluster.leader(), 'begun');
  return cluster;
}

/** The outcome, or the error. */
async function settle<T>(cluster: MemoryCluster, promise: Promise<T>): Promise<T | Error> {
  let result: { readonly value: T | Error } | null = null;
  promise.then(
    (value) => (result = { value }),
    (error: unknown) => (result = { value: error as Error }),
  );
  await cluster.until(() => result !== null, 'an outcome');
  return (result as { readonly value: T | Error } | null)?.value ?? new Error('nothing');
}

async function change(cluster: MemoryCluster, wanted: MembershipChange): Promise<void> {
  const leader = await cluster.leader();
  const outcome = await settle(cluster, leader.node.changeMembership(wanted));
  if (outcome instanceof Error) throw outcome;
}

/** A fourth node, as a learner that has caught up. */
async function joined(cluster: MemoryCluster, name = 'n4', incarnation = name): Promise<MemoryMember> {
  await change(cluster, {
    type: 'add',
    node: { name, incarnation, address: `${name}:1` },
    learnersAllowed: 20,
  });
  const leader = await cluster.leader();
  const id = leader.node.membership.peers.find((peer) => peer.incarnation === incarnation)?.raftId ?? 0;
  const member = cluster.join(id);
  await cluster.until(() => leader.node.isCaughtUp(id), 'its catching up');
  return member;
}

async function follower(cluster: MemoryCluster): Promise<MemoryMember> {
  const leader = await cluster.leader();
  const found = cluster.members.find((member) => member !== leader);
  if (found === undefined) throw new Error('there are followers');
  return found;
}

function votersOf({ node }: MemoryMember): readonly number[] {
  return node.membership.confState.voters;
}

describe('a node that joins', () => {
  it('receives the log as a learner, does not count, and votes once it is promoted', async () => {
    const cluster = await begin();
    const fourth = await joined(cluster);
    await cluster.until(() => fourth.state.texts.join() === 'begun');
    expect(votersOf(fourth)).toEqual([1, 2, 3]);
    await change(cluster, { type: 'promote', id: fourth.id });
    await cluster.until(() => cluster.members.every((member) => votersOf(member).length === 4));
    for (const member of cluster.members)
      expect(member.transport.peers.map(({ name }) => name).sort()).toEqual(['n1', 'n2', 'n3', 'n4']);
  });

  it('comes by a snapshot where the log begins later, and knows the members from it', async () => {
    const cluster = await begin(5);
    await change(cluster, { type: 'remove', id: (await follower(cluster)).id });
    const leader = await cluster.leader();
    for (let count = 0; count < 30; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.core.termAt(1) === null, 'the cutting of the log');
    const fourth = await joined(cluster);
    await cluster.until(() => fourth.state.texts.length === 31);
    expect(fourth.node.membership.peers.map(({ name }) => name)).toEqual(
      leader.node.membership.peers.map(({ name }) => name),
    );
  });

  it('knows the members after a restart', async () => {
    const cluster = await begin();
    const fourth = await joined(cluster);
    const before = fourth.node.membership;
    await fourth.node.stop();
    expect(cluster.restart(fourth.id).node.membership).toEqual(before);
  });

  it('is not promoted before it has caught up', async () => {
    const cluster = await begin();
    await change(cluster, {
      type: 'add',
      node: { name: 'n4', incarnation: 'i', address: 'n4:1' },
      learnersAllowed: 20,
    });
    const leader = await cluster.leader();
    const id = leader.node.membership.peers.at(-1)?.raftId ?? 0;
    await expect(
      settle(cluster, leader.node.changeMembership({ type: 'promote', id })),
    ).resolves.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('n4 has not caught up') as string,
    });
  });
});

describe('a member that goes', () => {
  it('stops, says why, and the others go on without it', async () => {
    const cluster = await begin();
    const gone = await follower(cluster);
    const failure = gone.node.failed.catch((error: unknown) => error);
    await change(cluster, { type: 'remove', id: gone.id });
    await cluster.until(() => !gone.node.isRunning, 'its stop');
    expect(await failure).toMatchObject({ message: expect.stringContaining('was removed') as string });
    const leader = await cluster.leader();
    const { term } = leader.node.status();
    expect(await cluster.propose(leader, 'on')).toBe('2');
    await cluster.lose(gone.id);
    for (let count = 0; count < 3 * limits.electionTicks; count += 1) await cluster.pass();
    expect(leader.node.status()).toMatchObject({ role: 'leader', term });
  });

  it('and leads hands its leadership over first', async () => {
    const cluster = await begin();
    const leader = await cluster.leader();
    const outcome = await settle(cluster, leader.node.changeMembership({ type: 'remove', id: leader.id }));
    expect(outcome).toMatchObject({ code: 'no_leader' });
    await cluster.until(() =>
      cluster.members.some((one) => one !== leader && one.node.leadership().isLeader),
    );
    await change(cluster, { type: 'remove', id: leader.id });
    await cluster.until(() => !leader.node.isRunning, 'its stop');
    expect(votersOf(await cluster.leader())).toHaveLength(2);
  });

  it("and leads, by its predecessor's entry, stays until the other of two has heard of it", async () => {
    const cluster = await begin(1000, 2);
    const [leader, other] = [await cluster.leader(), await follower(cluster)];
    const { lastIndex } = leader.node.status();
    // As a predecessor would have left it.
    leader.core.proposeConfChange({
      transition: 'auto',
      changes: [{ type: 'remove', id: leader.id }],
      context: new Uint8Array(),
    });
    cluster.network.loses = ({ from, commit }) => from === leader.id && commit > lastIndex;
    await cluster.until(() => !votersOf(leader).includes(leader.id), 'its removal');
    for (let count = 0; count < limits.electionTicks; count += 1) await cluster.pass();
    expect(votersOf(other)).toContain(leader.id);
    cluster.network.loses = () => false;
    await cluster.until(() => other.node.leadership().isLeader, 'the leadership of the other');
    expect(votersOf(other)).toEqual([other.id]);
    await cluster.until(() => !leader.node.isRunning, 'its stop');
    expect(await cluster.propose(other, 'on')).toBe('2');
  });

  it('and lost its disk comes back under a new id, in the place of the old', async () => {
    const cluster = await begin();
    const lost = await follower(cluster);
    const name = `n${lost.id}`;
    await cluster.lose(lost.id);
    const leader = await cluster.leader();
    await cluster.until(() => !leader.node.isActive(lost.id), 'its silence');
    const again = await joined(cluster, name, 'a new disk');
    expect(again.id).toBeGreaterThan(1000);
    expect(votersOf(leader)).not.toContain(lost.id);
    await change(cluster, { type: 'promote', id: again.id });
    expect(votersOf(leader)).toHaveLength(3);
    expect(leader.node.membership.peers.filter((peer) => peer.name === name)).toHaveLength(1);
  });
});

describe('changes of the membership', () => {
  it('are made one at a time', async () => {
    const cluster = await begin();
    const leader = await cluster.leader();
    const add = (name: string) =>
      settle(
        cluster,
        leader.node.changeMembership({
          type: 'add',
          node: { name, incarnation: name, address: `${name}:1` },
          learnersAllowed: 20,
        }),
      );
    const [first, second] = await Promise.all([add('n4'), add('n5')]);
    expect(first).not.toBeInstanceOf(Error);
    expect(second).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('under way') as string,
    });
  });

  it('wait for an entry of the own term of a leader to be applied', async () => {
    const cluster = new MemoryCluster({ size: 3 });
    clusters.push(cluster);
    cluster.start();
    const elected = (): MemoryMember | undefined =>
      cluster.members.find(({ node }) => node.status().role === 'leader' && !node.leadership().isLeader);
    await cluster.until(() => elected() !== undefined, 'a leader without an entry of its own');
    const leader = elected();
    const id = cluster.members.find((member) => member !== leader)?.id ?? 0;
    await expect(leader?.node.changeMembership({ type: 'demote', id })).rejects.toMatchObject({
      code: 'no_leader',
    });
    await cluster.until(() => leader?.node.leadership().isLeader === true, 'its first entry');
    await change(cluster, { type: 'demote', id });
  });

  it('end in a bounded time where the voters are gone, and say that the outcome is unknown', async () => {
    const cluster = await begin();
    const leader = await cluster.leader();
    const others = cluster.members.filter((member) => member !== leader);
    const startMs = cluster.clock.monotonicMs();
    const changing = leader.node.changeMembership({ type: 'demote', id: others[0]?.id ?? 0 });
    for (const { id } of others) cluster.network.cut(id);
    expect(await settle(cluster, changing)).toMatchObject({ code: 'outcome_unknown' });
    expect(cluster.clock.monotonicMs() - startMs).toBeLessThanOrEqual(limits.proposalTimeoutMs);
    expect(votersOf(leader)).toHaveLength(3);
  });

  it('leave the joint configuration also over a change of leader', async () => {
    const cluster = await begin();
    const fourth = await joined(cluster);
    const leader = await cluster.leader();
    const gone = await follower(cluster);
    const changes = [
      { type: 'addVoter', id: fourth.id },
      { type: 'remove', id: gone.id },
    ] as const;
    void leader.node.changeMembership({ type: 'together', changes }).catch(() => undefined);
    await cluster.until(
      () => leader.node.membership.confState.votersOutgoing.length > 0,
      'the joint configuration',
    );
    await cluster.lose(leader.id);
    await cluster.until(
      () => cluster.members.some(({ node }) => node.leadership().isLeader && node.isRunning),
      'another leader',
    );
    const next = await cluster.leader();
    await cluster.until(() => next.node.membership.confState.votersOutgoing.length === 0, 'its end');
    expect(votersOf(next)).toContain(fourth.id);
    expect(votersOf(next)).not.toContain(gone.id);
  });
});
