/** What a core is told at its construction. */
import { invariant } from '../../lib/assert.ts';
import type { Random } from '../../lib/random.ts';
import type { Entry, HardState, RaftId, SnapshotMeta } from './types.ts';

export interface RaftConfig {
  readonly id: RaftId;
  /** Randomised to [electionTicks, 2 · electionTicks - 1]. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly random: Random;
  /** Sent to one follower and not yet acknowledged. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Entries per app message; one entry always fits. */
  readonly maxMessageBytes: number;
  /** Payload proposed and not yet applied by the leader; beyond it proposals are refused. */
  readonly maxUncommittedBytes: number;
  /** Handed out to be applied and not yet applied; one entry always fits. */
  readonly maxCommittedBytesPerReady: number;
  /** Ask whether an election could be won before entering a new term (dissertation, section 9.6). */
  readonly preVote: boolean;
  /**
   * Of two that ask for pre-votes at the same moment with equal logs the one with the lower id gives the other none, so that
   * not both stand for election, split the votes and wait for another timeout.
   */
  readonly breaksTies?: boolean;
  /** A leader that hears of no quorum steps down, and its followers heed no candidate meanwhile (section 6.2). */
  readonly checkQuorum: boolean;
  /** Followers pass proposals and reads on to the leader; by default they refuse them. */
  readonly forwardProposals?: boolean;
  /** `safe` (default) asks a quorum for every round of reads; `lease` trusts the clock, and needs `checkQuorum`. */
  readonly readOnly?: 'safe' | 'lease';
  /**
   * Leaders read by lease (`ReadLease`): followers never give up a leader before its election timeout, and heed no candidate
   * for as long after a restart, which made them forget whom they had heard of.
   */
  readonly keepsLeases?: boolean;
  /** A leader that is removed or demoted steps down when that is applied; by default it leads on. */
  readonly stepDownOnRemoval?: boolean;
  /** Configuration changes are appended whatever else is pending. */
  readonly disableConfChangeValidation?: boolean;
  /**
   * Committed entries are handed out with the request that persists them, for a host that carries out one Ready
   * before it takes the next. By default only durable ones are.
   */
  readonly applyBeforeDurable?: boolean;
  /**
   * Votes are asked for before the candidate's own is durable, as a public script has it. Not safe where a candidate can
   * crash and restart in between: by default they wait (`waitsForDurability`).
   */
  readonly campaignBeforeDurable?: boolean;
}

/** What a node finds on its disk. */
export interface RecoveredState {
  readonly hardState: HardState;
  /** The newest snapshot that the entries join; index 0, term 0 and the first configuration where there is none. */
  readonly snapshot: SnapshotMeta;
  /** The first has index `snapshot.index + 1`. */
  readonly entries: readonly Entry[];
  /** What the state machine contains already; configuration changes up to here are in force. */
  readonly applied: number;
}

/** Whether somebody may rely on followers' not electing another leader for an election timeout. */
export function hasLeases(config: RaftConfig): boolean {
  return config.readOnly === 'lease' || config.keepsLeases === true;
}

/** @throws InvariantError */
export function validateConfig(config: RaftConfig): void {
  invariant(Number.isSafeInteger(config.id) && config.id > 0, 'a Raft id is a positive integer');
  invariant(config.heartbeatTicks > 0, 'heartbeats are some ticks apart');
  invariant(config.electionTicks > config.heartbeatTicks, 'elections wait longer than heartbeats');
  invariant(config.maxInflightMessages > 0, 'at least one message may be under way');
  invariant(config.maxInflightBytes >= 0 && config.maxMessageBytes >= 0, 'sizes are not negative');
  invariant(config.maxCommittedBytesPerReady > 0, 'something can be applied');
  invariant(!hasLeases(config) || config.checkQuorum, 'lease reads need check-quorum');
}
