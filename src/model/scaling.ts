/**
 * What the autoscaler has decided, and where each node stands that it has asked a provider for (docs/autoscaling.md).
 * All of it is replicated: a leader that takes over goes on from here, and neither asks twice nor forgets.
 */
import type { ScalingProvider } from './autoscaling.ts';

/**
 * REQUESTED: wanted; the provider may have been asked already. CREATED: the provider says that it is there; its node has not
 * come yet. JOINED: its node was seen in the cluster. DRAINING: its node gives its work away, to leave. LEAVING: nothing is
 * left on it; it is taken off the members and the nodes. TERMINATING: nothing of it is a part of the cluster; the provider is
 * to end it. Gone with that.
 */
export type InstancePhase = 'REQUESTED' | 'CREATED' | 'JOINED' | 'DRAINING' | 'LEAVING' | 'TERMINATING';

/** Phase → those that may follow. From the last the row goes; from the first, too, as long as no provider was asked. */
export const NEXT_PHASES: Readonly<Record<InstancePhase, readonly InstancePhase[]>> = {
  REQUESTED: ['CREATED', 'JOINED', 'TERMINATING'],
  CREATED: ['JOINED', 'TERMINATING'],
  JOINED: ['DRAINING', 'LEAVING', 'TERMINATING'],
  DRAINING: ['JOINED', 'LEAVING', 'TERMINATING'],
  LEAVING: ['TERMINATING'],
  TERMINATING: [],
};

/** Something that a provider was asked for, or is about to be. By id, which is its client token. */
export interface InstanceRow {
  readonly id: string;
  /** The name of its node. */
  readonly node: string;
  readonly provider: ScalingProvider;
  readonly phase: InstancePhase;
  readonly phaseSinceMs: number;
  readonly createdAtMs: number;
  /** Rises with each change: whoever changes it names the one that it has seen. */
  readonly revision: number;
  /** Why it is in its phase, for people. */
  readonly reason: string;
  /** The node whose machine it is made on; null: the provider needs none. */
  readonly host: string | null;
  /** The provider's id; null: not known. */
  readonly providerId: string | null;
  /** Lets its node in; null: none was made, or it is gone. */
  readonly joinTokenId: string | null;
  /** Of the newest request for it, in this phase; null: the provider was not asked yet. */
  readonly askedAtMs: number | null;
  /** Whether a provider was ever asked to make it. */
  readonly isAsked: boolean;
  /** The provider has said that its end has begun. */
  readonly isEnded: boolean;
  /** Requests of this phase in a row that came to nothing. */
  readonly failures: number;
  /** By the cluster's time; nothing is tried before. */
  readonly notBeforeMs: number;
  /** What went wrong last, for people; null: nothing. */
  readonly error: string | null;
  /** Sequence of the decision that it came by; 0: it was found. */
  readonly cameBy: number;
  /** Of the decision that takes it away; null: none does. */
  readonly leavesBy: number | null;
}

/** One row, key `scaling`. */
export interface ScalingRow {
  /** Decisions so far. */
  readonly sequence: number;
  /** Of the newest decision to add, and to remove; null: there was none. */
  readonly lastUpAtMs: number | null;
  readonly lastDownAtMs: number | null;
  readonly failure: ScalingFailure | null;
}

/** From the first failure to when nothing fails any more. A person is told once. */
export interface ScalingFailure {
  readonly provider: string;
  readonly sinceMs: number;
  readonly newestMs: number;
  readonly count: number;
  /** The newest, for people. */
  readonly reason: string;
  /** Nothing more is asked for before; {@link sinceMs}: nothing was held back. */
  readonly heldUntilMs: number;
}

export const NO_SCALING: ScalingRow = { sequence: 0, lastUpAtMs: null, lastDownAtMs: null, failure: null };

/** As it was when it was decided. Percent, tasks, seconds and nodes. */
export interface ScalingLoad {
  readonly queueDepth: number;
  readonly averageWaitTime: number;
  readonly longestWaitTime: number;
  readonly utilization: number;
  readonly unplaceable: number;
  readonly nodes: number;
}

/** What one rule came to. */
export interface ScalingVerdict {
  readonly action: 'add_nodes' | 'remove_nodes';
  readonly metric: string;
  readonly threshold: number;
  readonly count: number;
  readonly value: number;
  readonly fires: boolean;
  /** Why it did nothing, or not all that it says; null: nothing held it. */
  readonly held: string | null;
}

export interface ScalingDecision {
  readonly action: 'add_nodes' | 'remove_nodes';
  /** Nodes. */
  readonly count: number;
  /** How many there were to be then. */
  readonly desired: number;
  /** For people. */
  readonly reason: string;
  readonly load: ScalingLoad;
  readonly rules: readonly ScalingVerdict[];
}

/** The newest ones are kept. Key: {@link decisionKey}. */
export interface ScalingDecisionRow extends ScalingDecision {
  readonly sequence: number;
  readonly atMs: number;
  /** Nothing was done. */
  readonly isDryRun: boolean;
  /** Names of the nodes that came by it, or left by it. */
  readonly nodes: readonly string[];
  /** Of these: that have joined, or left; that did not come to be; that were not needed any more, or stayed. */
  readonly done: number;
  readonly failed: number;
  readonly cancelled: number;
}

const SEQUENCE_DIGITS = 16;

export function decisionKey(sequence: number): string {
  return String(sequence).padStart(SEQUENCE_DIGITS, '0');
}
