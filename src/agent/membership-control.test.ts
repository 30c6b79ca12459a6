import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { BootstrapReply, JoinRequest } from '../generated/raft.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret } from '../lib/join-token.ts';
import { silentLog } from '../lib/log.ts';
import type { AuditRecord } from '../operations/guard.ts';
import type { JoinTokenUser } from '../operations/port.ts';
import { MemoryCluster, type MemoryMember } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import { Admission, type JoinTokens } from './admission.ts';
import { LeaderMembershipControl } from './membership-control.ts';
import { NodeAudit } from './node-audit.ts';

const clusters: MemoryCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  await turn();
});

/** What a node answers that is asked who it is. */
function blank(name: string, changes: Partial<BootstrapReply> = {}): BootstrapReply {
  return {
    name,
    incarnation: name,
    peers: [],
    agrees: false,
    cluster_id: '',
    founders: [],
    config: '',
    known_version: 0,

    ...changes,
  };
}

async function begin(size = 3) {
  const cluster = new MemoryCluster({ size });
  clusters.push(cluster);
  cluster.start();
  const leader = await cluster.leader();
  await cluster.until(() => cluster.members.every(({ id }) => id === leader.id || leader.node.isActive(id)));
  let voters = size;
  const nodes = new Map<string, BootstrapReply>([['n4:1', blank('n4')]]);
  /** With whether it was a member still. */
  const barred: (readonly [name: string, isMember: boolean])[] = [];
  const control = new LeaderMembershipControl({
    raft: leader.node,
    clock: cluster.clock,
    targetVoters: () => voters,
    learnersAllowed: () => 2,
    bar: async (name) =>
      void barred.push([name, leader.node.membership.peers.some((peer) => peer.name === name)]),
    ask: async (address) => {
      const node = nodes.get(address);
      if (node === undefined) throw new JarvisError('unavailable', `${address} does not answer`);
      return node;
    },
  });
  const change = (action: string, name: string, more: { address?: string; other?: string } = {}) =>
    settle(
      cluster,
      control.change({ action, name, address: '', other: '', ...more }, new AbortController().signal),
    );
  const transfer = (to: string) => settle(cluster, control.transfer(to, new AbortController().signal));
  const keep = (count: number): void => {
    voters = count;
  };
  return { cluster, leader, nodes, barred, change, transfer, keep };
}

/** 'done', or the error. */
async function settle(cluster: MemoryCluster, promise: Promise<unknown>): Promise<unknown> {
  let outcome: unknown = null;
  promise.then(
    () => (outcome = 'done'),
    (error: unknown) => (outcome = error),
  );
  await cluster.until(() => outcome !== null, 'an outcome');
  return outcome;
}

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

describe('a node that asks to be let in', () => {
  const noTokens: JoinTokens = { areRequired: false, use: () => Promise.reject(new Error('not asked')) };
  const request: JoinRequest = {
    name: 'n4',
    incarnation: 'i4',
    address: 'n4:1',
    cluster_id: '',
    former_incarnation: '',
    join_token: '',
    known_version: 0,
    works_without_copy: false,
    view_digest: '',
  };

  const recorded: AuditRecord[] = [];
  const barred = new Set<string>();
  let version = 1;

  beforeEach(() => {
    recorded.splice(0);
    barred.clear();
    version = 1;
  });

  async function ask(
    cluster: MemoryCluster,
    member: MemoryMember,
    changes: Partial<JoinRequest> = {},
    tokens: JoinTokens = noTokens,
  ) {
    const record = { clusterId: 'c', epoch: 7, founders: [], raftId: member.id };
    const { node: raft } = member;
    const admission = new Admission({
      raft,
      cluster: record,
      learnersAllowed: () => 2,
      isBarred: (name) => barred.has(name),
      version: () => version,
      tokens,
      audit: new NodeAudit({ record: (line) => void recorded.push(line) }),
      log: silentLog,
    });
    let reply: unknown = null;
    admission.answer({ ...request, ...changes }).then(
      (answer) => (reply = answer),
      (error: unknown) => (reply = error),
    );
    await cluster.until(() => reply !== null, 'an answer');
    return reply;
  }

  it('gets its id from the leader, the same when it asks again, and is sent there by the others', async () => {
    const { cluster, leader } = await begin();
    const first = await ask(cluster, leader);
    expect(first).toMatchObject({ leader_address: '', cluster_id: 'c', epoch: 7 });
    expect(await ask(cluster, leader)).toEqual(first);
    const follower = cluster.members.find((member) => member !== leader) ?? leader;
    expect(await ask(cluster, follower)).toMatchObject({
      leader_address: `host${leader.id}:7101`,
      raft_id: 0,
    });
  });

  it('is refused where it can be no member of this cluster', async () => {
    const { cluster, leader } = await begin();
    expect(await ask(cluster, leader, { name: '' })).toMatchObject({ code: 'invalid' });
    expect(await ask(cluster, leader, { address: 'n4' })).toMatchObject({ code: 'invalid' });
    expect(await ask(cluster, leader, { incarnation: '' })).toMatchObject({ code: 'invalid' });
    expect(await ask(cluster, leader, { cluster_id: 'another' })).toMatchObject({
      code: 'conflict',
      message: 'this is cluster c, and not another',
    });
    expect(await ask(cluster, leader, { former_incarnation: 'i9' })).toMatchObject({
      code: 'forbidden',
      message: 'n4 was removed from the cluster, and cannot take its former place',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
  });

  it('is refused where it could not apply what is in the log', async () => {
    const { cluster, leader } = await begin();
    version = 2;
    expect(await ask(cluster, leader)).toMatchObject({
      code: 'forbidden',
      message: 'the cluster is at version 2, and n4 knows version 1 only: start it with a later build',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
    expect(
      await ask(cluster, leader, { known_version: 3, works_without_copy: false, view_digest: '' }),
    ).toMatchObject({ leader_address: '' });
  });

  it('does not come back by its certificate alone once it was removed', async () => {
    const { cluster, leader } = await begin();
    barred.add('n4');
    expect(await ask(cluster, leader)).toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(
        'with a join token it does (`jarvisctl cluster join-token --name n4`)',
      ) as string,
    });
    // A member is one by its data directory, whatever was to become of it.
    const [member] = leader.node.membership.peers;
    const { name = '', incarnation = '', address = '' } = member ?? {};
    barred.add(name);
    expect(await ask(cluster, leader, { name, incarnation, address })).toMatchObject({ cluster_id: 'c' });
    const tokens: JoinTokens = { areRequired: false, use: async () => {} };
    const token = `jarvisjoin_join-${'a'.repeat(18)}_${'b'.repeat(64)}`;
    expect(await ask(cluster, leader, { join_token: token }, tokens)).toMatchObject({ cluster_id: 'c' });
  });

  it('shows a join token where one is asked for, the first time', async () => {
    const { cluster, leader } = await begin();
    const used: JoinTokenUser[] = [];
    const tokens: JoinTokens = {
      areRequired: true,
      use: async (user) => {
        if (user.node === 'n5') throw new JarvisError('forbidden', 'used up');
        used.push(user);
      },
    };
    const secret = 'b'.repeat(64);
    const id = `join-${'a'.repeat(18)}`;
    const token = `jarvisjoin_${id}_${secret}`;
    expect(await ask(cluster, leader, {}, tokens)).toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('jarvisctl cluster join-token --name n4') as string,
    });
    expect(await ask(cluster, leader, { join_token: 'canary' }, tokens)).toMatchObject({
      code: 'invalid',
      message: expect.not.stringContaining('canary') as string,
    });
    expect(await ask(cluster, leader, { name: 'n5', join_token: token }, tokens)).toMatchObject({
      code: 'forbidden',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
    expect(recorded.map(({ principal, result, target }) => [principal, result, target])).toEqual([
      [null, 'unauthenticated', 'n4'],
      [null, 'invalid', 'n4'],
      [null, 'forbidden', 'n5'],
    ]);
    expect(JSON.stringify(recorded)).not.toContain(secret);
    recorded.splice(0);
    expect(await ask(cluster, leader, { join_token: token }, tokens)).toMatchObject({ cluster_id: 'c' });
    expect(recorded).toMatchObject([
      { operation: 'join', principal: `join-token:${id}`, target: 'n4', result: 'ok' },
    ]);
    expect(used).toEqual([{ id, secretHash: hashOfSecret(secret), node: 'n4', holder: 'incarnation:i4' }]);
    // It is known by its incarnation now: one that has moved, for example, needs none.
    expect(await ask(cluster, leader, { address: 'n4:2' }, tokens)).toMatchObject({ cluster_id: 'c' });
    // Without need, one that is shown must be good all the same.
    const lenient = { ...tokens, areRequired: false };
    expect(
      await ask(cluster, leader, { name: 'n5', incarnation: 'i5', join_token: token }, lenient),
    ).toMatchObject({
      code: 'forbidden',
    });
  });
});
