import { afterEach, describe, expect, it } from 'vitest';

import { CLUSTER_VERSION } from '../lib/cluster-version.ts';
import { limits } from '../lib/limits.ts';
import { begin, blank, settle, stopAll } from './membership.test-kit.ts';

afterEach(stopAll);

type Scene = Awaited<ReturnType<typeof begin>>;

const node = (name: string, incarnation = `i-${name}`, address = `${name}:1`) => ({
  name,
  incarnation,
  address,
});

/** 'done', or the error. */
function letIn({ cluster, entrance }: Scene, newcomer: ReturnType<typeof node>, worksWithoutCopy = true) {
  return settle(cluster, entrance.letIn(newcomer, { worksWithoutCopy }));
}

function membersOf({ leader }: Scene): readonly string[] {
  return leader.node.membership.peers.map(({ name }) => name);
}

const copylessOf = ({ known }: Scene): readonly string[] => [...known.state.copylessNodes.keys()].sort();

async function full(): Promise<Scene> {
  const scene = await begin();
  scene.keepLearners(0);
  return scene;
}

describe('the door of the cluster', () => {
  it('makes learners of as many as are wanted, and lets the others in without a copy', async () => {
    const scene = await begin();
    scene.keepLearners(1);
    for (const name of ['n4', 'n5', 'n6']) expect(await letIn(scene, node(name))).toBe('done');
    expect(membersOf(scene)).toContain('n4');
    expect(copylessOf(scene)).toEqual(['n5', 'n6']);
    expect(await letIn(scene, node('n7'), false)).toMatchObject({ code: 'conflict' });
  });

  it('gives a place to the first without a copy that asks, and not to one that is about to leave', async () => {
    const scene = await full();
    for (const name of ['n4', 'n5']) await letIn(scene, node(name));
    scene.known.register('n4', 'n4:1');
    const drain = { type: 'drainNode', node: 'n4', withinMs: 1000, graceMs: null, startId: null } as const;
    scene.known.execute({ ...drain, idempotency: null });
    scene.keepLearners(1);
    expect(await letIn(scene, node('n4'))).toBe('done');
    expect(copylessOf(scene)).toEqual(['n4', 'n5']);
    expect(await letIn(scene, node('n5'))).toBe('done');
    expect(copylessOf(scene)).toEqual(['n4']);
    expect(membersOf(scene)).toContain('n5');
  });

  it('leaves one without a copy while another change is under way, and makes a stranger wait', async () => {
    const scene = await full();
    for (const name of ['n4', 'n5']) await letIn(scene, node(name));
    scene.keepLearners(2);
    const { cluster, leader } = scene;
    const change = { type: 'add', node: node('n6'), learnersAllowed: 2 } as const;
    const first = leader.node.changeMembership(change);
    expect(await letIn(scene, node('n5'))).toBe('done');
    expect(copylessOf(scene)).toEqual(['n4', 'n5']);
    await settle(cluster, first);
    const second = leader.node.changeMembership({ ...change, node: node('n6', 'i-n6', 'n6:2') });
    expect(await letIn(scene, node('n7'))).toMatchObject({ code: 'conflict' });
    await settle(cluster, second);
  });

  it('knows one by its incarnation: it may move, and not take a name or an address of another', async () => {
    const scene = await full();
    for (const name of ['n4', 'n5']) await letIn(scene, node(name));
    expect(await letIn(scene, node('n4', 'i-n4', 'n4:2'))).toBe('done');
    expect(scene.known.state.copylessNodes.get('n4')?.address).toBe('n4:2');
    expect(await letIn(scene, node('n4', 'i-n4', 'n5:1'))).toMatchObject({
      code: 'conflict',
      message: 'n5:1 is the address of node n5',
    });
    const [member] = scene.leader.node.membership.peers;
    expect(await letIn(scene, node('n6', 'i-n6', member?.address))).toMatchObject({
      code: 'conflict',
      message: `${member?.address} is the address of member ${member?.name}`,
    });
    expect(await letIn(scene, node('n6', 'i-n4'))).toMatchObject({
      code: 'conflict',
      message: 'this data directory is node n4, not n6',
    });
    const learner = node('n8', 'i-n8', 'n5:1');
    scene.keepLearners(1);
    expect(await letIn(scene, learner, false)).toMatchObject({ message: 'n5:1 is the address of node n5' });
  });

  it('lets another of its name in once a node is silent, or taken for gone', async () => {
    const scene = await full();
    const { known } = scene;
    await letIn(scene, node('n4'));
    known.register('n4', 'n4:1');
    const refusal = {
      code: 'conflict',
      message: 'a node named n4 is there and answers (n4:1): give this node another name',
    };
    expect(await letIn(scene, node('n4', 'another'))).toMatchObject(refusal);
    known.silentMs.set('n4', 3999);
    expect(await letIn(scene, node('n4', 'another'))).toMatchObject(refusal);
    known.silentMs.set('n4', 4000);
    expect(await letIn(scene, node('n4', 'another'))).toBe('done');
    expect(known.state.copylessNodes.get('n4')?.incarnation).toBe('another');
    known.silentMs.set('n4', 0);
    known.execute({ type: 'nodeOffline', term: known.term, node: 'n4', session: known.session('n4') });
    expect(await letIn(scene, node('n4', 'a third'))).toBe('done');
  });

  it('does so before whoever waits for that gives up, however rarely nodes tell that they live', async () => {
    const scene = await full();
    const { known } = scene;
    const heartbeat = { intervalMs: 30_000, warningMs: 90_000, timeoutMs: 200_000 };
    known.execute({ type: 'setConfig', term: known.term, heartbeat, blocks: {}, idempotency: null });
    await letIn(scene, node('n4'));
    known.register('n4', 'n4:1');
    known.silentMs.set('n4', limits.joinConflictMs / 2);
    expect(await letIn(scene, node('n4', 'another'))).toBe('done');
  });

  it('does not take a node in that an operator removes meanwhile', async () => {
    const scene = await full();
    const { known, cluster, entrance } = scene;
    await letIn(scene, node('n4'));
    scene.keepLearners(1);
    const promotion = entrance.letIn(node('n4'), { worksWithoutCopy: true });
    known.execute({ type: 'barMember', name: 'n4' });
    known.execute({ type: 'dismissCopyless', name: 'n4' });
    expect(await settle(cluster, promotion)).toMatchObject({ code: 'forbidden' });
    expect(membersOf(scene)).not.toContain('n4');
  });

  it('tells a member that it is one only while this node leads', async () => {
    const scene = await begin();
    expect(await letIn(scene, node('n4'))).toBe('done');
    expect(await letIn(scene, node('n4'))).toBe('done');
    scene.cluster.network.cut(scene.leader.id);
    expect(await letIn(scene, node('n4'))).toMatchObject({ code: 'no_leader' });
  });

  it('keeps the row of a member that the autopilot has let in without a copy, for when it removes it', async () => {
    const scene = await begin();
    await letIn(scene, node('n4'));
    scene.known.execute({ type: 'admitCopyless', ...node('n4') });
    expect(await letIn(scene, node('n4', 'i-n4', 'n4:2'))).toBe('done');
    expect(copylessOf(scene)).toEqual(['n4']);
  });
});

describe('a data directory from before its node became a member', () => {
  it('comes in under a new Raft id, once that member is silent', async () => {
    const scene = await begin();
    const { cluster, leader, entrance } = scene;
    const before = cluster.members.find(({ id }) => id !== leader.id);
    const voter = leader.node.membership.peers.find(({ raftId }) => raftId === before?.id);
    if (before === undefined || voter === undefined) throw new Error('there are three');
    const asked = { worksWithoutCopy: true, hasNoLog: true };
    const copy = node(voter.name, voter.incarnation, 'elsewhere:1');
    expect(await settle(cluster, entrance.letIn(copy, asked))).toMatchObject({ code: 'conflict' });
    expect(leader.node.membership.peers).toContainEqual(voter);
    await cluster.lose(before.id);
    await cluster.until(() => !leader.node.isActive(before.id));
    expect(await settle(cluster, entrance.letIn(copy, asked))).toBe('done');
    const after = leader.node.membership.peers.find(({ name }) => name === voter.name);
    expect(after).toMatchObject(copy);
    expect(after?.raftId).not.toBe(voter.raftId);
    expect(leader.node.membership.confState.learners).toEqual([after?.raftId]);
  });
});

describe('an operator', () => {
  it('removes a node without a copy', async () => {
    const scene = await full();
    await letIn(scene, node('n4'));
    expect(await scene.change('remove', 'n4')).toBe('done');
    expect(scene.barred).toEqual([['n4', false]]);
    expect(copylessOf(scene)).toEqual([]);
    expect(await scene.change('remove', 'n4')).toMatchObject({ code: 'not_found' });
  });

  it('removes a member that was about to go on without a copy for good', async () => {
    const scene = await begin();
    await letIn(scene, node('n4'));
    scene.known.execute({ type: 'admitCopyless', ...node('n4') });
    expect(await scene.change('remove', 'n4')).toBe('done');
    expect([...copylessOf(scene), ...membersOf(scene)]).not.toContain('n4');
  });

  it('removes a member for good that the autopilot lets in without a copy at that moment', async () => {
    const scene = await begin();
    await letIn(scene, node('n4'));
    scene.leader.node.onMembership(() => void scene.known.execute({ type: 'admitCopyless', ...node('n4') }));
    expect(await scene.change('remove', 'n4')).toBe('done');
    expect([...copylessOf(scene), ...membersOf(scene)]).not.toContain('n4');
  });

  it('is told that one without a copy cannot vote', async () => {
    const scene = await full();
    await letIn(scene, node('n4'));
    const refusal = {
      code: 'conflict',
      message:
        'n4 works without a copy of the log, and cannot vote: it becomes a learner by itself once there are fewer than are kept ' +
        '(membership.learners, now 20)',
    };
    expect(await scene.change('promote', 'n4')).toMatchObject(refusal);
    expect(await scene.change('demote', 'n1', { other: 'n4' })).toMatchObject(refusal);
    expect(await scene.transfer('n4')).toMatchObject(refusal);
  });

  it('adds one, which works without a copy where its build can', async () => {
    const scene = await full();
    scene.nodes.set('n5:1', blank('n5', { known_version: CLUSTER_VERSION }));
    expect(await scene.change('add', 'n4', { address: 'n4:1' })).toMatchObject({ code: 'conflict' });
    expect(await scene.change('add', 'n5', { address: 'n5:1' })).toBe('done');
    expect(copylessOf(scene)).toEqual(['n5']);
    // Also where it is in already.
    scene.nodes.set('n5:1', blank('n5', { known_version: CLUSTER_VERSION, cluster_id: 'c' }));
    expect(await scene.change('add', 'n5', { address: 'n5:1' })).toBe('done');
  });
});
