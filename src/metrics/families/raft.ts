/** The node as a member: its log, who leads, and how far the others are. */
import { counter, FAST_BUCKETS, gauge, histogram } from '../family.ts';
import type { CounterHandle, GaugeHandle, HistogramHandle, MetricsRegistry } from '../registry.ts';

const leader = 'leader';

export const RAFT_FAMILIES = {
  term: gauge({ name: 'jarvis_raft_term', help: 'Term that this node is in' }),
  isLeader: gauge({ name: 'jarvis_raft_is_leader', help: '1 where this node leads, else 0' }),
  hasLeader: gauge({ name: 'jarvis_raft_has_leader', help: '1 where this node knows who leads, else 0' }),
  commit: gauge({
    name: 'jarvis_raft_commit_index',
    help: 'Index of the newest entry known to be committed',
  }),
  applied: gauge({ name: 'jarvis_raft_applied_index', help: 'Index of the newest entry applied here' }),
  first: gauge({ name: 'jarvis_raft_first_index', help: 'Index of the oldest entry of the log held here' }),
  last: gauge({ name: 'jarvis_raft_last_index', help: 'Index of the newest entry of the log held here' }),
  members: gauge({
    name: 'jarvis_raft_members',
    help: 'Members that receive the log',
    labels: ['role'],
    unit: 'members',
    exposure: leader,
  }),
  spare: gauge({
    name: 'jarvis_raft_spare_voters',
    help: 'Voters that may still fail before the cluster stops; those that are silent have failed already',
    unit: 'members',
    exposure: leader,
  }),
  lag: gauge({
    name: 'jarvis_raft_replication_lag_entries',
    help: 'Entries of the log that a member is not known to hold',
    labels: ['peer'],
    exposure: leader,
  }),
  active: gauge({
    name: 'jarvis_raft_peer_active',
    help: '1 where the leader has heard of the member within an election timeout, else 0',
    labels: ['peer'],
    exposure: leader,
  }),
  diskFailed: gauge({
    name: 'jarvis_raft_peer_disk_failed',
    help: '1 where the member has stopped because of its disk, as it said itself, until it is heard of again; else 0',
    labels: ['peer'],
    exposure: leader,
  }),
  leaderChanges: counter({
    name: 'jarvis_raft_leader_changes_total',
    help: 'How often this node has learnt of another leader, or of the same in another term',
    unit: 'changes',
  }),
  elections: counter({
    name: 'jarvis_raft_elections_total',
    help: 'Elections that this node has stood in',
    unit: 'elections',
  }),
  duration: histogram({
    name: 'jarvis_raft_proposal_duration_seconds',
    help: 'From the proposal of a command on this node to its having been applied here',
    buckets: FAST_BUCKETS,
  }),
  failed: counter({
    name: 'jarvis_raft_proposals_failed_total',
    help: 'Proposals of this node that were not applied here in time, by the code of the error',
    labels: ['reason'],
    unit: 'proposals',
  }),
} as const;

/** A member beside this node, as the leader sees it. */
interface PeerReading {
  readonly name: string;
  readonly matchIndex: number;
  readonly isActive: boolean;
  /** It has stopped because of its disk. */
  readonly hasDiskFailed: boolean;
}

export interface RaftReading {
  readonly term: number;
  readonly isLeader: boolean;
  readonly hasLeader: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly voters: number;
  readonly learners: number;
  /** Voters that may still fail. */
  readonly spareVoters: number;
  /** Elections stood in since the start. */
  readonly elections: number;
  readonly peers: readonly PeerReading[];
}

export class RaftMetrics {
  readonly #gauges: Readonly<
    Record<'term' | 'isLeader' | 'hasLeader' | 'commit' | 'applied' | 'first' | 'last', GaugeHandle<never>>
  >;
  readonly #members: GaugeHandle<'role'>;
  readonly #spare: GaugeHandle<never>;
  readonly #lag: GaugeHandle<'peer'>;
  readonly #active: GaugeHandle<'peer'>;
  readonly #diskFailed: GaugeHandle<'peer'>;
  readonly #leaderChanges: CounterHandle<never>;
  readonly #elections: CounterHandle<never>;
  readonly #duration: HistogramHandle<never>;
  readonly #failed: CounterHandle<'reason'>;
  readonly #registry: MetricsRegistry;
  #known = '';

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const { term, isLeader, hasLeader, commit, applied, first, last } = RAFT_FAMILIES;
    this.#gauges = {
      term: registry.gauge(term),
      isLeader: registry.gauge(isLeader),
      hasLeader: registry.gauge(hasLeader),
      commit: registry.gauge(commit),
      applied: registry.gauge(applied),
      first: registry.gauge(first),
      last: registry.gauge(last),
    };
    this.#members = registry.gauge(RAFT_FAMILIES.members);
    this.#spare = registry.gauge(RAFT_FAMILIES.spare);
    this.#lag = registry.gauge(RAFT_FAMILIES.lag);
    this.#active = registry.gauge(RAFT_FAMILIES.active);
    this.#diskFailed = registry.gauge(RAFT_FAMILIES.diskFailed);
    this.#leaderChanges = registry.counter(RAFT_FAMILIES.leaderChanges);
    this.#elections = registry.counter(RAFT_FAMILIES.elections);
    this.#duration = registry.histogram(RAFT_FAMILIES.duration);
    this.#failed = registry.counter(RAFT_FAMILIES.failed);
  }

  follow(read: () => RaftReading): void {
    this.#registry.onScrape('raft', () => this.#sample(read()));
  }

  /** What this node knows of the leadership is to be told with every change of it. @param leader null: nobody leads */
  leadership(leader: string | null, term: number): void {
    if (leader === null) return;
    const known = `${term} ${leader}`;
    if (known !== this.#known) this.#leaderChanges.add(1);
    this.#known = known;
  }

  proposed(durationMs: number): void {
    this.#duration.observe(durationMs / 1000);
  }

  /** @param code of the error */
  proposalFailed(code: string): void {
    this.#failed.add(1, { reason: code });
  }

  #sample(reading: RaftReading): void {
    const gauges = this.#gauges;
    gauges.term.set(reading.term);
    gauges.isLeader.set(reading.isLeader ? 1 : 0);
    gauges.hasLeader.set(reading.hasLeader ? 1 : 0);
    gauges.commit.set(reading.commitIndex);
    gauges.applied.set(reading.appliedIndex);
    gauges.first.set(reading.firstIndex);
    gauges.last.set(reading.lastIndex);
    this.#elections.follow(reading.elections);
    for (const each of [this.#members, this.#spare, this.#lag, this.#active, this.#diskFailed]) each.clear();
    if (!reading.isLeader) return;
    this.#members.set(reading.voters, { role: 'voter' });
    this.#members.set(reading.learners, { role: 'learner' });
    this.#spare.set(reading.spareVoters);
    for (const { name, matchIndex, isActive, hasDiskFailed } of reading.peers) {
      this.#lag.set(Math.max(0, reading.lastIndex - matchIndex), { peer: name });
      this.#active.set(isActive ? 1 : 0, { peer: name });
      this.#diskFailed.set(hasDiskFailed ? 1 : 0, { peer: name });
    }
  }
}
