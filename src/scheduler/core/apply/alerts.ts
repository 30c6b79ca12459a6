import { limits } from '../../../lib/limits.ts';
import type { AdvanceAlertsCommand, Outcome, QuorumRiskCommand } from '../../../model/commands.ts';
import { quorumRiskOf } from '../../../model/earlier-rows.ts';
import { closeMessage, recordAttempt } from '../alerts/outbox.ts';
import { firstBytes } from '../text.ts';
import type { Transaction } from '../transaction.ts';
import { done } from './outcomes.ts';

/** What is no news any more is passed over: a leader may say it twice. */
export function advanceAlerts(
  transaction: Transaction,
  { attempts, close }: AdvanceAlertsCommand,
): Outcome<null> {
  for (const attempt of attempts) recordAttempt(transaction, attempt);
  for (const id of close) closeMessage(transaction, id);
  return done(null);
}

/** What is so already is fine: an episode is told once, whoever leads in it. */
export function quorumRisk(transaction: Transaction, { atRisk, reason }: QuorumRiskCommand): Outcome<null> {
  const { cluster, nowMs } = transaction;
  const isKnown = quorumRiskOf(cluster) !== null;
  if (isKnown === atRisk) return done(null);
  const risk = { sinceMs: nowMs, reason: firstBytes(reason, limits.errorMessageBytes) };
  transaction.putCluster({ quorumRisk: atRisk ? risk : null });
  return done(null);
}
