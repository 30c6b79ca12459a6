import { describe, expect, it } from 'vitest';

import { Member } from '../generated/cluster.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import { clusterView } from './cluster-view.ts';
import type { ClusterInsight, MemberInsight, NodeFacts } from './insight.ts';

const MEMBER: Omit<MemberInsight, 'name' | 'raftId'> = {
  incarnation: 'one-of-a-member',
  address: 'host:1',
  role: 'voter',
  incoming: true,
  outgoing: false,
  matchIndex: 10,
  nextIndex: 11,
  state: 'replicate',
  active: true,
  inflight: 0,
  isPaused: false,
  lastContactMs: 12.4,
  snapshot: null,
  lastWords: [],
};

const NODE: NodeFacts = {
  clusterId: 'c-1',
  epoch: 5,
  raftId: 1,
  version: '1.2.3',
  role: 'leader',
  term: 4,
  vote: 1,
  leader: 1,
  commitIndex: 12,
  appliedIndex: 11,
  firstIndex: 3,
  lastIndex: 14,
  durableIndex: 13,
  uncommittedBytes: 100,
  log: { segments: 1, bytes: 4096, lastFsyncMs: 1.6, pending: 2 },
  diskErrors: [],
  stateDifference: null,
  refusals: new Map([['old_copy', 2]]),
  transferTarget: 0,
  learnersNext: [],
  autoLeave: false,
};

/** Members n1, n2, … with what is given of each, what the answering node n1 says of itself, and the state. */
function view(
  members: readonly Partial<MemberInsight>[],
  node: Partial<NodeFacts> = {},
  { state, silentMs = () => null }: Known = NOTHING,
) {
  const insight: ClusterInsight = {
    lastHeartbeatMs: () => null,
    silentMs,
    usage: () => null,
    commitIndex: () => NODE.commitIndex,
    members: () => members.map((given, at) => ({ ...MEMBER, name: `n${at + 1}`, raftId: at + 1, ...given })),
    node: () => ({ ...NODE, ...node }),
  };
  return clusterView({ nodeName: 'n1', insight, state, stale: false });
}

interface Known {
  readonly state: TestCluster['state'];
  readonly silentMs?: ClusterInsight['silentMs'];
}

const NOTHING: Known = { state: new TestCluster().state };

describe('the view of the cluster', () => {
  it('is made of what Raft knows', () => {
    const snapshot = { index: 9, takenBytes: 5, totalBytes: 50, failures: 2, lastFailure: 'no room' };
    const lastWords = [{ kind: 'storage_failed', path: '/log', message: 'EIO', atMs: 1 }];
    const status = view([
      { state: 'leader', matchIndex: 13, nextIndex: 15, lastContactMs: 0 },
      { isPaused: true, inflight: 7 },
      { role: 'learner', incoming: false, state: 'snapshot', matchIndex: 2, snapshot },
      { role: 'learner', incoming: false, state: 'probe', lastContactMs: null, active: false, lastWords },
    ]);
    expect(status).toMatchObject({
      cluster_id: 'c-1',
      epoch: 5,
      leader: 'n1',
      term: 4,
      commit_index: 12,
      applied_index: 11,
      voters: ['n1', 'n2'],
      learners: ['n3', 'n4'],
      failure_tolerance: 0,
      members: [
        { match_index: 13, lag: 0, state: 'leader', last_contact_seconds: 0 },
        { match_index: 10, lag: 2, next_index: 11, paused: true, inflight: 7, last_contact_seconds: 0.012 },
        {
          lag: 10,
          snapshot: { index: 9, taken_bytes: 5, total_bytes: 50, failures: 2, last_failure: 'no room' },
        },
        {
          active: false,
          state: 'probe',
          last_words: [{ kind: 'storage_failed', at: '1970-01-01T00:00:00.001Z' }],
        },
      ],
      node: {
        name: 'n1',
        vote: 'n1',
        first_index: 3,
        last_index: 14,
        durable_index: 13,
        log: { segments: 1, bytes: 4096, last_fsync_seconds: 0.002, pending: 2 },
      },
    });
    expect(status.members[3]?.last_contact_seconds).toBeUndefined();
    expect(status.joint).toBeUndefined();
    expect(status.transfer_target).toBeUndefined();
  });

  it('counts who may still fail from who lives', () => {
    const dead = { active: false };
    expect(view([{}, {}, {}]).failure_tolerance).toBe(1);
    expect(view([{}, {}, dead]).failure_tolerance).toBe(0);
    expect(view([{}, {}, {}, dead, {}]).failure_tolerance).toBe(1);
    // A learner votes in nothing.
    expect(view([{}, {}, {}, { role: 'learner', incoming: false }]).failure_tolerance).toBe(1);
  });

  it('shows both halves of a joint configuration, and counts the weaker', () => {
    const status = view(
      [
        { outgoing: true },
        { outgoing: true },
        { role: 'learner', incoming: false, outgoing: true, active: false },
        {},
      ],
      { learnersNext: [3], autoLeave: true },
    );
    expect(status.joint).toEqual({
      incoming: ['n1', 'n2', 'n4'],
      outgoing: ['n1', 'n2', 'n3'],
      learners_next: ['n3'],
      auto_leave: true,
    });
    expect(status).toMatchObject({ voters: ['n1', 'n2', 'n4'], learners: ['n3'], failure_tolerance: 0 });
  });

  it('names whom leadership goes to, and by its id whoever has left', () => {
    const status = view([{}, {}], { transferTarget: 2, vote: 9 });
    expect(status).toMatchObject({ transfer_target: 'n2', node: { vote: '9' } });
  });

  it('claims no more than a node knows that does not lead', () => {
    const status = view(
      [
        { state: 'unknown', lastContactMs: 0 },
        { state: 'unknown', active: false },
      ],
      {
        role: 'preCandidate',
        leader: 0,
        diskErrors: [{ kind: 'snapshot_corrupt', path: '/s', message: 'damaged', atMs: 0 }],
        refusals: new Map([['old_copy', 2]]),
      },
    );
    expect(status.node?.state_difference).toBeUndefined();
    expect(status.leader).toBe('');
    expect(status.failure_tolerance).toBeUndefined();
    const { lag, match_index: match, next_index: next, inflight, paused } = status.members[1] ?? {};
    expect([lag, match, next, inflight, paused]).toEqual(Array(5).fill(undefined));
    expect(status.node).toMatchObject({ role: 'pre_candidate' });
    expect(status.node?.leader).toBeUndefined();
    expect(status.node?.disk_errors).toEqual([
      { kind: 'snapshot_corrupt', path: '/s', message: 'damaged', at: '1970-01-01T00:00:00.000Z' },
    ]);
  });

  it('shows who works without a copy behind the members, with nothing of what Raft knows', () => {
    const cluster = TestCluster.formed();
    const admitted = { w1: 'one-of-w1', w2: 'one-of-w2', silent: 'one-of-silent', n2: 'one-of-n2' };
    for (const [name, incarnation] of Object.entries(admitted))
      cluster.done({ type: 'admitCopyless', name, incarnation, address: `${name}:1` });
    for (const name of ['w1', 'silent']) cluster.join(name);
    const silences = new Map(Object.entries({ w1: 1500, silent: 10_000 }));
    const silentMs = (name: string) => silences.get(name) ?? null;
    // The row of n2 is from before it became a member.
    const members = [{}, { incarnation: 'one-of-n2' }];
    const status = view(members, {}, { state: cluster.state, silentMs });
    expect(status).toMatchObject({ voters: ['n1', 'n2'], learners: [], workers: ['silent', 'w1', 'w2'] });
    expect(status.failure_tolerance).toBe(0);
    expect(status.members.map(({ name }) => name)).toEqual(['n1', 'n2', 'silent', 'w1', 'w2']);
    const [, , silent, w1, w2] = status.members;
    expect(w1).toEqual({
      ...Member.create(),
      name: 'w1',
      address: 'w1:1',
      role: 'worker',
      active: true,
      last_contact_seconds: 1.5,
      version: cluster.state.nodes.get('w1')?.version,
      node_status: 'AVAILABLE',
    });
    expect(silent).toMatchObject({ active: false, last_contact_seconds: 10, node_status: 'AVAILABLE' });
    // It has not come yet.
    expect(w2).toMatchObject({ role: 'worker', active: false, node_status: undefined });
    // Who does not lead hears nothing of them, and shows what the state says.
    const follower = view(members, { role: 'follower' }, { state: cluster.state });
    expect(follower.members.slice(2)).toMatchObject([
      { name: 'silent', active: true },
      { name: 'w1', active: true, last_contact_seconds: undefined },
      { name: 'w2', active: false },
    ]);
  });

  it('names the members whose states differ', () => {
    const digests = new Map([
      [1, 'a'],
      [2, 'b'],
      [9, 'c'],
    ]);
    const { node } = view([{}, {}], { stateDifference: { index: 64, digests } });
    expect(node?.state_difference).toEqual({ index: 64, digests: { n1: 'a', n2: 'b', 9: 'c' } });
  });
});
