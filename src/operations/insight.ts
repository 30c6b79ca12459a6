/** What a node knows that stands in no state machine: of itself, of the members and, while it leads, of the nodes. */
import type { Usage } from '../generated/worker.ts';
import type { Autoscaling } from '../model/autoscaling.ts';
import type { ScalingLoad, ScalingVerdict } from '../model/scaling.ts';

/** What a node knows that stands in no state machine; of heartbeats and members' progress only the leader does. */
export interface ClusterInsight {
  /** Wall time of the node's newest heartbeat; null where none has come since this node leads. */
  lastHeartbeatMs(node: string): number | null;
  /**
   * For how long the node has been silent, as far as this leader can know, which is not before it led. Null where it does
   * not lead, or has not begun to listen.
   */
  silentMs(node: string): number | null;
  /** As of that heartbeat. */
  usage(node: string): Usage | null;
  commitIndex(): number;
  members(): readonly MemberInsight[];
  node(): NodeFacts;
}

export interface MemberInsight {
  readonly name: string;
  readonly raftId: number;
  readonly incarnation: string;
  readonly address: string;
  readonly role: 'voter' | 'learner';
  /** Votes in the only configuration, or in the incoming one; and in the one that is being left. */
  readonly incoming: boolean;
  readonly outgoing: boolean;
  readonly matchIndex: number;
  /** Progress as the leader sees it; unknown where this node does not lead. */
  readonly state: 'leader' | 'probe' | 'replicate' | 'snapshot' | 'unknown';
  /** Heard of within the last election timeout. */
  readonly active: boolean;
  readonly nextIndex: number;
  /** Messages with entries under way. */
  readonly inflight: number;
  readonly isPaused: boolean;
  /** Since it was last heard of; 0 for this node itself, null where it was not since this start. */
  readonly lastContactMs: number | null;
  readonly snapshot: {
    readonly index: number;
    readonly takenBytes: number;
    readonly totalBytes: number;
    /** Tries that failed since the last that was installed, and why the newest did. */
    readonly failures: number;
    readonly lastFailure: string | null;
  } | null;
  /** What its disk failed in, as it said before it stopped. */
  readonly lastWords: readonly DiskError[];
}

/** What this node knows of itself. Raft ids are 0 where there is none. */
export interface NodeFacts {
  readonly clusterId: string;
  readonly epoch: number;
  readonly raftId: number;
  readonly version: string;
  readonly role: 'leader' | 'follower' | 'candidate' | 'preCandidate';
  readonly term: number;
  readonly vote: number;
  readonly leader: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly uncommittedBytes: number;
  readonly log: {
    readonly segments: number;
    readonly bytes: number;
    readonly lastFsyncMs: number;
    readonly pending: number;
  };
  readonly diskErrors: readonly DiskError[];
  /** Replicas that made something else of the same log, by their Raft ids; null for none that is known. */
  readonly stateDifference: { readonly index: number; readonly digests: ReadonlyMap<number, string> } | null;
  /** What peers said that was refused, by reason, since the start. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Whom this leader hands leadership to. */
  readonly transferTarget: number;
  /** Voters of a joint configuration that become learners when it is left, and whether that needs no other word. */
  readonly learnersNext: readonly number[];
  readonly autoLeave: boolean;
}

/** A disk that failed, or did not give back what was written. */
export interface DiskError {
  /** A kind of StorageError, `condemned`, or `state_` and what is wrong with the store of the state. */
  readonly kind: string;
  readonly path: string;
  readonly message: string;
  readonly atMs: number;
}

/** The autoscaler of this node, whether it leads or not. */
export interface ScalingInsight {
  /** When the rules were looked at last, wall time; null: not since this node leads, or it does not. */
  readonly evaluatedAtMs: number | null;
  /** What they come to now. */
  preview(settings: Autoscaling): {
    readonly load: ScalingLoad;
    readonly size: { readonly active: number; readonly joining: number; readonly leaving: number };
    readonly decision: {
      readonly desired: number;
      readonly reason: string;
      readonly rules: readonly ScalingVerdict[];
    };
  };
}
