import { expect, it } from 'vitest';

import { samplesOf, testRegistry } from '../testing/samples.ts';
import { RaftMetrics, type RaftReading } from './raft.ts';

const READING: RaftReading = {
  term: 7,
  isLeader: true,
  hasLeader: true,
  commitIndex: 90,
  appliedIndex: 89,
  firstIndex: 11,
  lastIndex: 100,
  voters: 3,
  learners: 1,
  spareVoters: 0,
  elections: 2,
  peers: [
    { name: 'n2', matchIndex: 100, isActive: true, hasDiskFailed: false },
    { name: 'n3', matchIndex: 40, isActive: false, hasDiskFailed: true },
  ],
};

function begin() {
  const registry = testRegistry();
  const metrics = new RaftMetrics(registry);
  const now = { reading: READING };
  metrics.follow(() => now.reading);
  return { registry, metrics, now };
}

it('every node tells of itself', async () => {
  const { registry, now } = begin();
  now.reading = { ...READING, isLeader: false };
  expect(await samplesOf(registry, 'jarvis_raft')).toEqual({
    jarvis_raft_term: 7,
    jarvis_raft_is_leader: 0,
    jarvis_raft_has_leader: 1,
    jarvis_raft_commit_index: 90,
    jarvis_raft_applied_index: 89,
    jarvis_raft_first_index: 11,
    jarvis_raft_last_index: 100,
    jarvis_raft_leader_changes_total: 0,
    jarvis_raft_elections_total: 2,
    jarvis_raft_proposal_duration_seconds_sum: 0,
    jarvis_raft_proposal_duration_seconds_count: 0,
  });
});

it('the leader tells of the members, until it leads no more', async () => {
  const { registry, now } = begin();
  const members = {
    'jarvis_raft_members{role="voter"}': 3,
    'jarvis_raft_members{role="learner"}': 1,
    jarvis_raft_spare_voters: 0,
    'jarvis_raft_replication_lag_entries{peer="n2"}': 0,
    'jarvis_raft_replication_lag_entries{peer="n3"}': 60,
    'jarvis_raft_peer_active{peer="n2"}': 1,
    'jarvis_raft_peer_active{peer="n3"}': 0,
    'jarvis_raft_peer_disk_failed{peer="n2"}': 0,
    'jarvis_raft_peer_disk_failed{peer="n3"}': 1,
  };
  expect(await samplesOf(registry, 'jarvis_raft')).toMatchObject(members);
  now.reading = { ...READING, isLeader: false };
  const after = Object.keys(await samplesOf(registry, 'jarvis_raft'));
  expect(after.filter((name) => Object.hasOwn(members, name))).toEqual([]);
});

it('a leader that was known already is no change', async () => {
  const { registry, metrics } = begin();
  metrics.leadership(null, 1);
  metrics.leadership('n1', 1);
  metrics.leadership(null, 1);
  metrics.leadership('n1', 1);
  metrics.leadership(null, 2);
  metrics.leadership('n1', 2);
  metrics.leadership('n2', 3);
  expect(await samplesOf(registry, 'jarvis_raft_leader_changes')).toEqual({
    jarvis_raft_leader_changes_total: 3,
  });
});

it('proposals count with their time, or with what became of them', async () => {
  const { registry, metrics } = begin();
  metrics.proposed(250);
  metrics.proposalFailed('too_many');
  metrics.proposalFailed('too_many');
  metrics.proposalFailed('no_leader');
  expect(await samplesOf(registry, 'jarvis_raft_proposal')).toEqual({
    jarvis_raft_proposal_duration_seconds_sum: 0.25,
    jarvis_raft_proposal_duration_seconds_count: 1,
    'jarvis_raft_proposals_failed_total{reason="too_many"}': 2,
    'jarvis_raft_proposals_failed_total{reason="no_leader"}': 1,
  });
});
