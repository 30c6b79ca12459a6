import { describe, expect, it } from 'vitest';

import { limits } from '../lib/limits.ts';
import type { MemberInsight } from '../operations/insight.ts';
import type { SnapshotBounds } from '../raft/applier.ts';
import type { RaftNode } from '../raft/node.ts';
import { StorageError } from '../raft/storage-error.ts';
import { MemoryCluster } from '../raft/testing/memory-cluster.ts';
import { turn } from '../raft/testing/memory-stores.ts';
import { StoreDamagedError } from '../store/errors.ts';
import { DiskErrors } from './disk-errors.ts';
import { NodeInsight } from './insight.ts';
import type { NodeSelf } from './insight.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';

const self: NodeSelf = {
  cluster: { clusterId: 'c-1', epoch: 7 },
  version: '1.2.3',
  wal: { stats: () => ({ segments: 2, bytes: 8192, lastFsyncMs: 3, fsyncs: 9, batches: 9, pending: 1 }) },
  diskErrors: { list: () => [] },
  watches: { difference: () => null },
  lastWords: { of: () => [] },
  transport: { refusals: () => new Map([['old_copy', 2]]) },
};

function insightOf(raft: RaftNode, duties: object = {}): NodeInsight {
  return new NodeInsight({ raft, duties: duties as LeaderDuties, self });
}

async function begin(options: { snapshotBounds?: SnapshotBounds } = {}) {
  const cluster = new MemoryCluster({ size: 3, ...options });
  cluster.start();
  const leader = await cluster.leader();
  const follower = cluster.members.find((member) => member !== leader) ?? leader;
  await cluster.propose(leader, 'a');
  const insight = insightOf(leader.node);
  await cluster.until(() =>
    insight.members().every(({ matchIndex }) => matchIndex === insight.commitIndex()),
  );
  return { cluster, leader, follower, insight };
}

describe('what a leader knows of the members', () => {
  it('is who they are and how far they have come', async () => {
    const { cluster, leader, insight } = await begin();
    const members = insight.members();
    const facts = { role: 'voter', active: true, incoming: true, outgoing: false, isPaused: false };
    expect(members).toMatchObject(
      [1, 2, 3].map((raftId) => ({
        name: `n${raftId}`,
        raftId,
        ...facts,
        nextIndex: insight.commitIndex() + 1,
      })),
    );
    expect(members.find(({ raftId }) => raftId === leader.id)).toMatchObject({
      state: 'leader',
      lastContactMs: 0,
    });
    expect(members.filter(({ state }) => state === 'replicate')).toHaveLength(2);
    await cluster.stop();
    await turn();
  });

  it('is who is silent, and since when', async () => {
    const { cluster, leader, follower, insight } = await begin();
    cluster.network.cut(follower.id);
    const cutMs = cluster.clock.monotonicMs();
    const others = cluster.members.filter((member) => member !== follower).map(({ id }) => id);
    for (let count = 0; count < 40; count += 1) {
      expect(insight.members().filter(({ active }) => active).length).toBeGreaterThanOrEqual(2);
      await cluster.pass();
    }
    await cluster.propose(leader, 'b');
    const members = insight.members();
    expect(members.filter(({ active }) => active).map(({ raftId }) => raftId)).toEqual(others);
    const silent = members.find(({ raftId }) => raftId === follower.id);
    expect(silent?.lastContactMs).toBeGreaterThanOrEqual(cluster.clock.monotonicMs() - cutMs);
    expect(silent?.matchIndex).toBe(insight.commitIndex() - 1);
    await cluster.stop();
    await turn();
  });

  it('is what snapshot is under way to one that is too far behind for the log', async () => {
    const { cluster, leader, follower, insight } = await begin({
      snapshotBounds: { entries: 10, logBytes: 1_000_000 },
    });
    cluster.network.cut(follower.id);
    await cluster.until(() => !leader.node.isActive(follower.id));
    for (let count = 0; count < 45; count += 1) await cluster.propose(leader, `text ${count}`);
    await cluster.until(() => leader.core.termAt(2) === null);
    const memberOf = (): MemberInsight | undefined =>
      insight.members().find(({ raftId }) => raftId === follower.id);
    expect(memberOf()?.snapshot).toBeNull();
    const sent: [wanted: number | undefined, shown: MemberInsight | undefined][] = [];
    cluster.network.onSnapshot = ({ snapshot }) => void sent.push([snapshot?.index, memberOf()]);
    cluster.network.heal();
    await cluster.until(() => follower.state.texts.length === leader.state.texts.length);
    const [wanted, shown] = sent[0] ?? [];
    expect(shown).toMatchObject({
      state: 'snapshot',
      isPaused: true,
      snapshot: { index: wanted, takenBytes: 0, totalBytes: 0, failures: 0, lastFailure: null },
    });
    await cluster.until(() => memberOf()?.state === 'replicate');
    expect(memberOf()?.snapshot).toBeNull();
    await cluster.stop();
    await turn();
  });

  it('comes from its duties where it is about nodes', () => {
    const insight = insightOf({} as RaftNode, {
      lastHeartbeatMs: () => 5,
      silentMs: () => 7,
      usage: () => null,
    });
    expect(insight.lastHeartbeatMs('n1')).toBe(5);
    expect(insight.silentMs('n1')).toBe(7);
    expect(insight.usage('n1')).toBeNull();
  });
});

describe('what a node knows of itself', () => {
  it('is where it stands, whether it leads or follows', async () => {
    const { cluster, leader, follower } = await begin();
    const { term } = leader.node.leadership();
    expect(insightOf(leader.node).node()).toMatchObject({
      clusterId: 'c-1',
      epoch: 7,
      version: '1.2.3',
      raftId: leader.id,
      role: 'leader',
      leader: leader.id,
      term,
      vote: leader.id,
      log: { segments: 2, bytes: 8192, lastFsyncMs: 3, pending: 1 },
      stateDifference: null,
      transferTarget: 0,
    });
    const insight = insightOf(follower.node);
    expect(insight.node()).toMatchObject({ role: 'follower', leader: leader.id, term });
    // Of the others it knows next to nothing.
    const states = insight.members().map(({ state }) => state);
    expect(states).toEqual(['unknown', 'unknown', 'unknown']);
    const heard = insight.members().find(({ raftId }) => raftId === leader.id);
    expect(heard?.lastContactMs).toBeLessThanOrEqual(limits.electionTicks * limits.tickMs);
    await cluster.stop();
    await turn();
  });

  it('includes what its disk has failed in: each once, and no more than a few', () => {
    let nowMs = 0;
    const errors = new DiskErrors({ wallMs: () => (nowMs += 1) });
    const failed = new StorageError('storage_failed', '/log', 'EIO');
    errors.note(failed);
    errors.note(failed);
    errors.note(new Error('no disk'));
    errors.note(new StoreDamagedError('checksum', '/state', 'a row is not what it was'));
    errors.add('condemned', '/', 'an old copy');
    expect(errors.list()).toEqual([
      { kind: 'storage_failed', path: '/log', message: 'EIO (/log)', atMs: 1 },
      { kind: 'state_checksum', path: '/state', message: 'a row is not what it was (/state)', atMs: 2 },
      { kind: 'condemned', path: '/', message: 'an old copy', atMs: 3 },
    ]);
    for (let count = 0; count < 50; count += 1) errors.add('snapshot_corrupt', '/s', String(count));
    expect(errors.list()).toHaveLength(16);
    expect(errors.list().at(0)?.kind).toBe('storage_failed');
    expect(errors.list().at(-1)?.message).toBe('49');
  });
});
