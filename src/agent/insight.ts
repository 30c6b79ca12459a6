/** What a node knows of itself, the members and the nodes, put together from Raft and the leader's duties. */
import type { Usage } from '../generated/worker.ts';
import type { ClusterInsight, MemberInsight, NodeFacts } from '../operations/insight.ts';
import type { ProgressStatus, RaftStatus } from '../raft/core/status.ts';
import type { ClusterRecord } from '../raft/data-directory.ts';
import type { RaftNode } from '../raft/node.ts';
import type { Peer } from '../raft/ports.ts';
import type { GrpcTransport } from '../raft/transport/grpc-transport.ts';
import type { Wal } from '../raft/wal/wal.ts';
import type { DiskErrors } from './disk-errors.ts';
import type { LastWords } from './last-words.ts';
import type { LeaderDuties } from './leader/leader-duties.ts';
import type { MemberWatches } from './member-watches.ts';

/** What a node knows of itself beside Raft. */
export interface NodeSelf {
  readonly cluster: Pick<ClusterRecord, 'clusterId' | 'epoch'>;
  readonly version: string;
  readonly wal: Pick<Wal, 'stats'>;
  readonly diskErrors: Pick<DiskErrors, 'list'>;
  readonly lastWords: Pick<LastWords, 'of'>;
  readonly transport: Pick<GrpcTransport, 'refusals'>;
  readonly watches: Pick<MemberWatches, 'difference'>;
}

export class NodeInsight implements ClusterInsight {
  readonly #raft: RaftNode;
  readonly #duties: LeaderDuties;
  readonly #self: NodeSelf;

  constructor(options: { raft: RaftNode; duties: LeaderDuties; self: NodeSelf }) {
    this.#raft = options.raft;
    this.#duties = options.duties;
    this.#self = options.self;
  }

  lastHeartbeatMs(node: string): number | null {
    return this.#duties.lastHeartbeatMs(node);
  }

  silentMs(node: string): number | null {
    return this.#duties.silentMs(node);
  }

  usage(node: string): Usage | null {
    return this.#duties.usage(node);
  }

  commitIndex(): number {
    return this.#raft.status().commit;
  }

  members(): readonly MemberInsight[] {
    const status = this.#raft.status();
    const progress = new Map(status.progress.map((known) => [known.id, known]));
    return this.#raft.membership.peers.map((peer) => this.#member(peer, status, progress.get(peer.raftId)));
  }

  node(): NodeFacts {
    const { cluster, version, wal, diskErrors, transport, watches } = this.#self;
    const { segments, bytes, lastFsyncMs, pending } = wal.stats();
    const status = this.#raft.status();
    return {
      clusterId: cluster.clusterId,
      epoch: cluster.epoch,
      version,
      raftId: status.id,
      role: status.role,
      term: status.term,
      vote: status.vote,
      leader: status.leader,
      commitIndex: status.commit,
      appliedIndex: this.#raft.appliedIndex,
      firstIndex: status.firstIndex,
      lastIndex: status.lastIndex,
      durableIndex: status.durableIndex,
      uncommittedBytes: status.uncommittedBytes,
      log: { segments, bytes, lastFsyncMs, pending },
      diskErrors: diskErrors.list(),
      stateDifference: watches.difference(),
      refusals: transport.refusals(),
      transferTarget: status.transferTarget,
      learnersNext: status.confState.learnersNext,
      autoLeave: status.confState.autoLeave,
    };
  }

  #member(peer: Peer, status: RaftStatus, progress: ProgressStatus | undefined): MemberInsight {
    const { raftId, name, incarnation, address } = peer;
    const { confState, role } = status;
    const isSelf = raftId === status.id;
    const lastContactMs = isSelf ? 0 : this.#raft.lastContactMs(raftId);
    return {
      name,
      raftId,
      incarnation,
      address,
      role: confState.voters.includes(raftId) ? 'voter' : 'learner',
      incoming: confState.voters.includes(raftId),
      outgoing: confState.votersOutgoing.includes(raftId),
      matchIndex: progress?.match ?? 0,
      nextIndex: progress?.next ?? 0,
      state: isSelf && role === 'leader' ? 'leader' : (progress?.state ?? 'unknown'),
      inflight: progress?.inflight ?? 0,
      isPaused: progress?.isPaused ?? false,
      snapshot: this.#transferTo(raftId, progress),
      active: isSelf || this.#raft.isActive(raftId),
      lastContactMs,
      lastWords: this.#self.lastWords.of(raftId, lastContactMs),
    };
  }

  /** From the moment that Raft wants one to be sent, also while it waits for its turn. */
  #transferTo(raftId: number, progress: ProgressStatus | undefined): MemberInsight['snapshot'] {
    if (progress?.state !== 'snapshot') return null;
    const transfer = this.#raft.snapshotTransfer(raftId);
    return {
      index: transfer === null || transfer.index === 0 ? progress.pendingSnapshot : transfer.index,
      takenBytes: transfer?.takenBytes ?? 0,
      totalBytes: transfer?.totalBytes ?? 0,
      failures: transfer?.failures ?? 0,
      lastFailure: transfer?.lastFailure ?? null,
    };
  }
}
