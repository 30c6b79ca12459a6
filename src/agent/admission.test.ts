import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { JoinReply, JoinRequest } from '../generated/raft.ts';
import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { JarvisError } from '../lib/errors.ts';
import { hashOfSecret } from '../lib/join-token.ts';
import { silentLog } from '../lib/log.ts';
import type { AuditRecord } from '../operations/guard.ts';
import type { JoinTokenUser } from '../operations/port.ts';
import { peerToWire } from '../raft/form-cluster.ts';
import type { MemoryMember } from '../raft/testing/memory-cluster.ts';
import { Admission, type JoinTokens } from './admission.ts';
import { ClusterViews } from './cluster-views.ts';
import { begin, stopAll } from './membership.test-kit.ts';
import { NodeAudit } from './node-audit.ts';

type Scene = Awaited<ReturnType<typeof begin>>;

afterEach(stopAll);

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
    { cluster, leader, replica, entrance, names }: Scene,
    changes: Partial<JoinRequest> = {},
    tokens: JoinTokens = noTokens,
    member: MemoryMember = leader,
  ) {
    const record = { clusterId: 'c', epoch: 7, founders: [], raftId: member.id };
    const { node: raft } = member;
    const admission = new Admission({
      raft,
      replica,
      cluster: record,
      entrance,
      views: new ClusterViews({ raft, replica, names, clock: cluster.clock }),
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
    const scene = await begin();
    const { cluster, leader } = scene;
    const first = await ask(scene);
    expect(first).toMatchObject({ leader_address: '', cluster_id: 'c', epoch: 7 });
    expect(await ask(scene)).toEqual(first);
    const follower = cluster.members.find((member) => member !== leader) ?? leader;
    expect(await ask(scene, {}, noTokens, follower)).toMatchObject({
      leader_address: `host${leader.id}:7101`,
      raft_id: 0,
    });
  });

  it('is refused where it can be no member of this cluster', async () => {
    const scene = await begin();
    const { leader } = scene;
    expect(await ask(scene, { name: '' })).toMatchObject({ code: 'invalid' });
    expect(await ask(scene, { address: 'n4' })).toMatchObject({ code: 'invalid' });
    expect(await ask(scene, { incarnation: '' })).toMatchObject({ code: 'invalid' });
    expect(await ask(scene, { cluster_id: 'another' })).toMatchObject({
      code: 'conflict',
      message: 'this is cluster c, and not another',
    });
    expect(await ask(scene, { former_incarnation: 'i9' })).toMatchObject({
      code: 'forbidden',
      message: 'n4 was removed from the cluster, and cannot take its former place',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
  });

  it('is refused where it could not apply what is in the log', async () => {
    const scene = await begin();
    const { leader } = scene;
    version = 2;
    expect(await ask(scene)).toMatchObject({
      code: 'forbidden',
      message: 'the cluster is at version 2, and n4 knows version 1 only: start it with a later build',
    });
    expect(leader.node.membership.peers).toHaveLength(3);
    expect(await ask(scene, { known_version: 3, works_without_copy: false, view_digest: '' })).toMatchObject({
      leader_address: '',
    });
  });

  it('does not come back by its certificate alone once it was removed', async () => {
    const scene = await begin();
    const { leader } = scene;
    barred.add('n4');
    expect(await ask(scene)).toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(
        'with a join token it does (`jarvisctl cluster join-token --name n4`)',
      ) as string,
    });
    // A member is one by its data directory, whatever was to become of it.
    const [member] = leader.node.membership.peers;
    const { name = '', incarnation = '', address = '' } = member ?? {};
    barred.add(name);
    expect(await ask(scene, { name, incarnation, address })).toMatchObject({ cluster_id: 'c' });
    const tokens: JoinTokens = { areRequired: false, use: async () => {} };
    const token = `jarvisjoin_join-${'a'.repeat(18)}_${'b'.repeat(64)}`;
    expect(await ask(scene, { join_token: token }, tokens)).toMatchObject({ cluster_id: 'c' });
  });

  it('shows a join token where one is asked for, the first time', async () => {
    const scene = await begin();
    const { leader } = scene;
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
    expect(await ask(scene, {}, tokens)).toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('jarvisctl cluster join-token --name n4') as string,
    });
    expect(await ask(scene, { join_token: 'canary' }, tokens)).toMatchObject({
      code: 'invalid',
      message: expect.not.stringContaining('canary') as string,
    });
    expect(await ask(scene, { name: 'n5', join_token: token }, tokens)).toMatchObject({
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
    expect(await ask(scene, { join_token: token }, tokens)).toMatchObject({ cluster_id: 'c' });
    expect(recorded).toMatchObject([
      { operation: 'join', principal: `join-token:${id}`, target: 'n4', result: 'ok' },
    ]);
    expect(used).toEqual([{ id, secretHash: hashOfSecret(secret), node: 'n4', holder: 'incarnation:i4' }]);
    // It is known by its incarnation now: one that has moved, for example, needs none.
    expect(await ask(scene, { address: 'n4:2' }, tokens)).toMatchObject({ cluster_id: 'c' });
    // Without need, one that is shown must be good all the same.
    const lenient = { ...tokens, areRequired: false };
    expect(await ask(scene, { name: 'n5', incarnation: 'i5', join_token: token }, lenient)).toMatchObject({
      code: 'forbidden',
    });
  });

  describe('where there are learners enough', () => {
    const able = { works_without_copy: true, known_version: CLUSTER_VERSION };

    /** With a node that works without a copy. */
    async function beginCopyless() {
      const scene = await begin();
      scene.keepLearners(0);
      const first = await ask(scene, able);
      return { scene, first, again: { ...able, cluster_id: 'c', former_incarnation: 'i4' } };
    }

    it('works without a copy, and is told what it has to know', async () => {
      const { scene, first } = await beginCopyless();
      const { leader, known } = scene;
      const view = {
        members: leader.node.membership.peers.map((peer) => peerToWire(peer)),
        nodes_without_copy: ['n4'],
        log_max_age_ms: 7 * 24 * 3_600_000,
        log_max_bytes: 10 * 1024 ** 3,
      };
      expect(first).toEqual({
        leader_address: '',
        cluster_id: 'c',
        epoch: 7,
        founders: [],
        raft_id: 0,
        view: { digest: expect.stringMatching(/^[0-9a-f]{16}$/) as string, ...view },
      });
      expect(known.state.copylessNodes.get('n4')).toMatchObject({ incarnation: 'i4', address: 'n4:1' });
      expect(leader.node.membership.peers).toHaveLength(3);
      expect(recorded).toMatchObject([{ operation: 'join', target: 'n4', result: 'ok' }]);
    });

    it('is refused where it cannot, or where the cluster does not know of such nodes', async () => {
      const scene = await begin();
      scene.keepLearners(0);
      const refusal = {
        code: 'conflict',
        message: expect.stringContaining('0 of at most 0 learners') as string,
      };
      expect(await ask(scene)).toMatchObject(refusal);
      const earlier = await begin(3, 1);
      earlier.keepLearners(0);
      expect(await ask(earlier, able)).toMatchObject(refusal);
      expect(earlier.known.state.copylessNodes.size).toBe(0);
    });

    it('asks again and again, which costs no entry and no line, nor the view that it has', async () => {
      const { scene, first, again } = await beginCopyless();
      const { view } = first as JoinReply;
      recorded.splice(0);
      const { index } = scene.known;
      const digest = view?.digest ?? '';
      const second = await ask(scene, { ...again, view_digest: digest });
      expect(second).toEqual({ ...(first as JoinReply), view: undefined });
      expect(await ask(scene, { ...again, view_digest: 'another' })).toEqual(first);
      expect([scene.known.index, recorded]).toEqual([index, []]);
      // Another one changes it.
      await ask(scene, { ...able, name: 'n5', incarnation: 'i5', address: 'n5:1' });
      expect(await ask(scene, { ...again, view_digest: digest })).toMatchObject({
        view: { nodes_without_copy: ['n4', 'n5'] },
      });
      const follower = scene.cluster.members.find((member) => member !== scene.leader) ?? scene.leader;
      expect(await ask(scene, again, noTokens, follower)).toMatchObject({
        leader_address: `host${scene.leader.id}:7101`,
      });
    });

    it('needs no token any more, and no version, before it has a place among the learners', async () => {
      const { scene, again } = await beginCopyless();
      const tokens = { ...noTokens, areRequired: true };
      barred.add('n4');
      version = CLUSTER_VERSION;
      const old = { ...again, known_version: 1 };
      expect(await ask(scene, old, tokens)).toMatchObject({ raft_id: 0 });
      scene.keepLearners(2);
      expect(await ask(scene, old, tokens)).toMatchObject({ raft_id: 0 });
      recorded.splice(0);
      const member = await ask(scene, again, tokens);
      const { peers } = scene.leader.node.membership;
      expect(peers.map(({ name }) => name)).toContain('n4');
      expect(member).toMatchObject({ raft_id: peers.find(({ name }) => name === 'n4')?.raftId });
      expect(member).not.toHaveProperty('view');
      expect(scene.known.state.copylessNodes.size).toBe(0);
      expect(recorded).toMatchObject([{ operation: 'join', target: 'n4', result: 'ok' }]);
    });

    it('is refused once it was removed, by its incarnation and by its name', async () => {
      const { scene, again } = await beginCopyless();
      expect(await scene.change('remove', 'n4')).toBe('done');
      recorded.splice(0);
      expect(await ask(scene, again)).toMatchObject({
        code: 'forbidden',
        message: 'n4 was removed from the cluster, and cannot take its former place',
      });
      barred.add('n4');
      expect(await ask(scene, { ...able, incarnation: 'i4-new' })).toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining('its certificate alone does not let it in again') as string,
      });
      expect(recorded.map(({ result }) => result)).toEqual(['forbidden', 'forbidden']);
    });

    it('does not hear that it was removed from a leader that is one no more', async () => {
      const scene = await begin();
      scene.cluster.network.cut(scene.leader.id);
      expect(await ask(scene, { ...able, former_incarnation: 'i4' })).toMatchObject({ code: 'no_leader' });
    });

    it('is refused, as a stranger, with the version that the cluster is past', async () => {
      const scene = await begin();
      scene.keepLearners(0);
      version = CLUSTER_VERSION;
      expect(await ask(scene, { ...able, known_version: 1 })).toMatchObject({ code: 'forbidden' });
    });
  });
});
