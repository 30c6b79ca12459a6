/** When what a provider has refused is asked for again, and when a person is told. Pure. */
import type { ScalingFailure } from '../../model/scaling.ts';

export type FailureKind = 'throttled' | 'quota' | 'capacity' | 'denied' | 'invalid' | 'unavailable';

export const RETRY_LIMITS = {
  leastMs: 5000,
  mostMs: 300_000,
  /** What time alone rarely mends. */
  longLeastMs: 300_000,
  longMostMs: 3_600_000,
  /** Failures in a row of what may mend by itself that nobody is told of. */
  untold: 4,
  /** After instances that did not come to be none is asked for: so long, twice as long after the next, at the most. */
  holdLeastMs: 60_000,
  holdMostMs: 3_600_000,
  /** Where none was asked for since, the failure is over after so long, and not before the rules were looked at twice. */
  quietMs: 600_000,
} as const;

const DOUBLINGS = 20;

/** @param failures before this one, in a row. @param retryAfterMs what the provider asks for; null: nothing */
export function retryDelayMs(kind: FailureKind, failures: number, retryAfterMs: number | null): number {
  const { leastMs, mostMs, longLeastMs, longMostMs } = RETRY_LIMITS;
  const [least, most] = isLasting(kind) ? [longLeastMs, longMostMs] : [leastMs, mostMs];
  return Math.min(longMostMs, Math.max(doubled(least, most, failures), retryAfterMs ?? 0));
}

/** Whether a person is to be told now. */
export function isTold(kind: FailureKind, failures: number): boolean {
  return isLasting(kind) || failures >= RETRY_LIMITS.untold;
}

/** @param holds of the episode so far */
export function holdMs(holds: number): number {
  return doubled(RETRY_LIMITS.holdLeastMs, RETRY_LIMITS.holdMostMs, holds);
}

/** As many as fit into it, each twice as long as the one before: for who has not counted them. */
export function holdsWithin(failure: Pick<ScalingFailure, 'heldUntilMs' | 'sinceMs'> | null): number {
  if (failure === null) return 0;
  let holds = 0;
  for (let leftMs = failure.heldUntilMs - failure.sinceMs - holdMs(0); leftMs >= 0; leftMs -= holdMs(holds))
    holds += 1;
  return holds;
}

/**
 * Whether what failed may be taken to work again, where nothing fails now. That time has gone by is no sign of it: a node that has
 * come since is.
 * @param joinedAtMs when the last node came; null: none did
 */
export function isMended(
  { sinceMs, newestMs, heldUntilMs }: Pick<ScalingFailure, 'heldUntilMs' | 'newestMs' | 'sinceMs'>,
  now: { readonly nowMs: number; readonly joinedAtMs: number | null; readonly intervalMs: number },
): boolean {
  const { nowMs, joinedAtMs, intervalMs } = now;
  if (nowMs < heldUntilMs) return false;
  const wasHeld = heldUntilMs > sinceMs;
  if (!wasHeld || (joinedAtMs !== null && joinedAtMs > newestMs)) return true;
  return nowMs - heldUntilMs >= Math.max(RETRY_LIMITS.quietMs, 2 * intervalMs);
}

function isLasting(kind: FailureKind): boolean {
  return kind !== 'throttled' && kind !== 'unavailable';
}

function doubled(least: number, most: number, times: number): number {
  return Math.min(most, least * 2 ** Math.min(times, DOUBLINGS));
}
