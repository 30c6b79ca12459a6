/** Commands about nodes that the autoscaler asks for. */
import type { ScalingProvider } from '../autoscaling.ts';
import type { InstancePhase, ScalingDecision } from '../scaling.ts';
import type { LeaderDecision } from './stamped.ts';

/** What the rules come to: with it is written what is to be done, before any provider hears of it. */
export interface AutoscalerDecidedCommand extends LeaderDecision {
  readonly type: 'autoscalerDecided';
  /** Sequence of the newest decision that it knows of: refused where there is a later one. */
  readonly after: number;
  readonly provider: ScalingProvider;
  readonly decision: ScalingDecision;
  /** It is recorded, and nothing is done. */
  readonly isDryRun: boolean;
  /** Instances to be asked for. */
  readonly add: number;
  /** Ids of instances that are being drained, and stay. */
  readonly keep: readonly string[];
  /** Ids of those whose nodes are drained, to leave; and for how long what runs there may end by itself. */
  readonly remove: readonly string[];
  readonly drainMs: number;
}

/** How far instances have come. A step of a row that has changed since it was looked at is passed over. */
export interface InstanceProgressCommand extends LeaderDecision {
  readonly type: 'instanceProgress';
  readonly steps: readonly InstanceStep[];
  /** Nothing fails any more. */
  readonly hasRecovered: boolean;
}

export type InstanceStep =
  | InstanceAsking
  | InstanceAsked
  | InstanceMoved
  | InstanceFailed
  | InstanceGone
  | InstanceAdopted;

interface NamedInstance {
  readonly id: string;
  readonly revision: number;
}

/** The provider is about to be asked to make it. */
interface InstanceAsking extends NamedInstance {
  readonly type: 'asking';
  readonly host: string | null;
  readonly joinTokenId: string | null;
}

/** It was asked for what the phase needs, and has answered. */
interface InstanceAsked extends NamedInstance {
  readonly type: 'ended';
}

interface InstanceMoved extends NamedInstance {
  readonly type: 'moved';
  readonly phase: InstancePhase;
  /** For people. */
  readonly reason: string;
  /** Where it has become known. */
  readonly providerId?: string;
  /** It has not become what it was to be. */
  readonly hasFailed?: boolean;
}

/** What the phase needs came to nothing, and is tried again later. */
interface InstanceFailed extends NamedInstance {
  readonly type: 'failed';
  readonly error: string;
  readonly retryMs: number;
}

/** The provider has nothing of it any more, or was never asked. */
interface InstanceGone extends NamedInstance {
  readonly type: 'gone';
}

/** It is tagged as this cluster's, and no row is of it. */
interface InstanceAdopted {
  readonly type: 'adopted';
  readonly id: string;
  readonly node: string;
  readonly provider: ScalingProvider;
  readonly providerId: string;
  readonly host: string | null;
  readonly phase: Extract<InstancePhase, 'JOINED' | 'TERMINATING'>;
}
