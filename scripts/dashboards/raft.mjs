import { badFrom, dashboard, goodFrom, graph, number, quantiles } from './panels.mjs';

export const raft = dashboard({
  uid: 'jarvis-raft',
  title: 'Jarvis / Raft',
  description: 'Consensus: who leads, how far everybody is, and what the disks do.',
  panels: [
    number('Term', 'The newest.', 'short', 'max(jarvis_raft_term)'),
    number('Leaders', 'One, but for moments.', 'short', 'sum(jarvis_raft_is_leader)', goodFrom(1)),
    number('Voters', 'Members that vote.', 'short', 'sum(jarvis_raft_members{role="voter"})'),
    number(
      'Learners',
      'Members that only receive the log.',
      'short',
      'sum(jarvis_raft_members{role="learner"})',
    ),
    number(
      'Voters to spare',
      'So many may fail before the cluster stops.',
      'short',
      'min(jarvis_raft_spare_voters)',
      goodFrom(1),
    ),
    number(
      'Changes of leader',
      'In the last hour.',
      'short',
      'round(max(increase(jarvis_raft_leader_changes_total[1h])))',
      badFrom(4),
    ),
    graph('Leader', 'Which node leads.', 'short', { '{{instance}}': 'jarvis_raft_is_leader' }),
    graph('Elections', 'That a node began.', 'short', {
      '{{instance}}': 'increase(jarvis_raft_elections_total[$__rate_interval])',
    }),
    graph('Commits', 'Entries that were committed.', 'ops', {
      committed: 'max(rate(jarvis_raft_commit_index[$__rate_interval]))',
    }),
    graph('Behind the leader', 'Entries that a member does not have yet.', 'short', {
      '{{peer}}': 'jarvis_raft_replication_lag_entries',
    }),
    graph('Not applied yet', 'Committed entries that the state does not have.', 'short', {
      '{{instance}}': 'jarvis_raft_commit_index - jarvis_raft_applied_index',
    }),
    graph('Proposals', 'Until they were committed.', 's', quantiles('jarvis_raft_proposal_duration_seconds')),
    graph(
      'Syncs of the log',
      'How long each took.',
      's',
      quantiles('jarvis_wal_fsync_duration_seconds', ['instance']),
    ),
    graph('Log', 'On disk.', 'bytes', { '{{instance}}': 'jarvis_wal_size_bytes' }),
    graph('Snapshot', 'Size of the newest.', 'bytes', { '{{instance}}': 'jarvis_snapshot_size_bytes' }),
  ],
});
