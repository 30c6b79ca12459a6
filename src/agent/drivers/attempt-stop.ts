import type { AttemptStop } from './driver.ts';

/** What counts once another end was asked for: the first reason and time, and the soonest KILL. */
export function stopAfter(
  before: AttemptStop | undefined,
  asked: { readonly reason: AttemptStop['reason']; readonly graceMs: number; readonly nowMs: number },
): AttemptStop {
  const { reason, graceMs, nowMs } = asked;
  const killAtMs = nowMs + graceMs;
  if (before === undefined) return { reason, sinceMs: nowMs, killAtMs };
  return { ...before, killAtMs: Math.min(before.killAtMs, killAtMs) };
}

export function isSameStop(one: AttemptStop | undefined, other: AttemptStop | undefined): boolean {
  return (
    one?.reason === other?.reason && one?.sinceMs === other?.sinceMs && one?.killAtMs === other?.killAtMs
  );
}
