/**
 * The vocabulary of the Raft core. Names are those of the Raft paper and of etcd/raft. Terms, indexes and ids are
 * safe integers; 0 means none. Payloads are opaque bytes: Raft never knows what a task is.
 */

/** A member's Raft id: positive, never reused, 0 for nobody. */
export type RaftId = number;

export type EntryType = 'normal' | 'confChange';

export interface Entry {
  readonly term: number;
  readonly index: number;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** What must survive a crash beside the log itself (Raft paper, figure 2, "persistent state"). */
export interface HardState {
  readonly term: number;
  readonly vote: RaftId;
  readonly commit: number;
}

/** The membership as of some index (Raft dissertation, chapter 4; joint while `votersOutgoing` is not empty). */
export interface ConfState {
  readonly voters: readonly RaftId[];
  readonly votersOutgoing: readonly RaftId[];
  readonly learners: readonly RaftId[];
  /** Voters of the outgoing configuration that become learners when the joint state is left. */
  readonly learnersNext: readonly RaftId[];
  readonly autoLeave: boolean;
}

export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

export interface SoftState {
  readonly leader: RaftId;
  readonly role: Role;
}

export type MessageType =
  | 'app'
  | 'appResp'
  | 'heartbeat'
  | 'heartbeatResp'
  | 'vote'
  | 'voteResp'
  | 'preVote'
  | 'preVoteResp'
  | 'snap'
  | 'timeoutNow'
  | 'readIndex'
  | 'readIndexResp'
  | 'transferLeader'
  | 'forgetLeader'
  | 'propose';

/** One message between members; fields that a type does not use hold their zero value. */
export interface Message {
  readonly type: MessageType;
  readonly from: RaftId;
  readonly to: RaftId;
  readonly term: number;
  /** Term of the entry before `entries` (app), of the sender's last entry (votes), or a rejection's hint. */
  readonly logTerm: number;
  /** Index of the entry before `entries` (app), of the sender's last entry (votes), or what is acknowledged. */
  readonly index: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
  readonly vote: RaftId;
  readonly reject: boolean;
  readonly rejectHint: number;
  /** `snap` only: what the receiver must have; the rows travel beside the log, in the shell's own stream. */
  readonly snapshot: SnapshotMeta | null;
  /** ReadIndex round, or a forced election (`transfer`): opaque to the receiver, returned as it came. */
  readonly context: string;
}

/**
 * Hand to disk, in the order in which requests were handed out; one fsync may cover several. When it is durable:
 * `core.persisted({ term, index, snapshotIndex })`, in the same order, and only then send `afterDurable`.
 */
export interface PersistRequest {
  /** The node's own term at hand-out, not the entries': an old completion never acknowledges a rewritten tail. */
  readonly term: number;
  /**
   * Last index of the log where some of it is not durable yet, also without entries of its own (its completion proves
   * all that was handed out before it in this term); else 0.
   */
  readonly index: number;
  /** Absent where it has not changed. */
  readonly hardState: HardState | null;
  /** Replaces everything from `entries[0].index` on. */
  readonly entries: readonly Entry[];
  /** A received snapshot that replaces the log up to its index. */
  readonly snapshot: SnapshotMeta | null;
  /** False where only the commit index changed: that may ride on the next write. */
  readonly mustSync: boolean;
  /** Messages that promise what is being written; they leave when it is durable, those to oneself are stepped. */
  readonly afterDurable: readonly Message[];
}

/** A confirmed ReadIndex round: reads that carry `context` may be answered once `index` is applied. */
export interface ReadState {
  readonly context: string;
  readonly index: number;
}

/** Everything that the core wants done now, to be carried out in the order of the fields. */
export interface Ready {
  /** Present when leader or role changed. */
  readonly softState: SoftState | null;
  readonly readStates: readonly ReadState[];
  readonly persist: PersistRequest | null;
  readonly messages: readonly Message[];
  /** Committed and durable here, in log order; answer with `core.appliedTo(index)`. */
  readonly committed: readonly Entry[];
}
