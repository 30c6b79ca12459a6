/**
 * How long a node may run tasks on its leader's last word: so long that it has ended them before the others may take it
 * for gone, whatever their clocks do (docs/leases.md).
 *
 * T: silence after which a node is OFFLINE, on the leader's clock. L: the lease, on the node's. κ: what ending takes.
 * With clocks that are wrong by at most ρ: L / (1 − ρ) + κ ≤ T / (1 + ρ).
 */
import { invariant } from '../lib/assert.ts';

/** ρ [RHO] */
const CLOCK_RATE_ERROR = 0.01;
/** κ is at most this, and at most that part of T [KAPPA]. */
const MAX_KILL_MS = 4000;
const KILL_PART = 8;

/** κ, in milliseconds. @param timeoutMs T */
export function killTimeMs(timeoutMs: number): number {
  return Math.min(MAX_KILL_MS, timeoutMs / KILL_PART);
}

/** The least T, in whole milliseconds, under which a lease of that length is over in time. @param leaseMs L */
export function timeoutMsFor(leaseMs: number): number {
  const countedMs = leaseMs / (1 - CLOCK_RATE_ERROR);
  const whole = Math.ceil((countedMs + MAX_KILL_MS) * (1 + CLOCK_RATE_ERROR));
  const short = Math.ceil(countedMs / (1 / (1 + CLOCK_RATE_ERROR) - 1 / KILL_PART));
  let timeoutMs = Math.min(whole, short) - 1;
  while (leaseMsOf(timeoutMs) < leaseMs) timeoutMs += 1;
  return timeoutMs;
}

/** L, in whole milliseconds. @param timeoutMs T */
export function leaseMsOf(timeoutMs: number): number {
  const killMs = killTimeMs(timeoutMs);
  const leaseMs = Math.floor((timeoutMs / (1 + CLOCK_RATE_ERROR) - killMs) * (1 - CLOCK_RATE_ERROR));
  invariant(
    leaseMs / (1 - CLOCK_RATE_ERROR) + killMs <= timeoutMs / (1 + CLOCK_RATE_ERROR),
    'a lease is over before the node may be taken for gone',
  );
  return leaseMs;
}
