/** Commands about what people are told. */
import type { LeaderDecision } from './stamped.ts';

/** A request for a message to a webhook whose outcome is known. */
export interface AlertAttempt {
  readonly id: string;
  /** Which of the message's, from 1 on: another leader may have recorded it. */
  readonly attempt: number;
  /** What went wrong, for people; null: it was delivered. */
  readonly failure: string | null;
  /** As the receiver asks; null: it does not. */
  readonly retryAfterMs: number | null;
}

export interface AdvanceAlertsCommand extends LeaderDecision {
  readonly type: 'advanceAlerts';
  readonly attempts: readonly AlertAttempt[];
  /** Messages that have gathered for long enough. */
  readonly close: readonly string[];
}

/** One more lost voter stops the cluster; or not any more. */
export interface QuorumRiskCommand extends LeaderDecision {
  readonly type: 'quorumRisk';
  readonly atRisk: boolean;
  /** For people. */
  readonly reason: string;
}

/** The autoscaler could not do what its rules ask for. A person is told once, until it has recovered. */
export interface AutoscalerFailedCommand extends LeaderDecision {
  readonly type: 'autoscalerFailed';
  /** Of nodes. */
  readonly provider: string;
  /** For people. */
  readonly reason: string;
  /** No node is asked for meanwhile; absent: none is waited for. */
  readonly holdMs?: number;
}
