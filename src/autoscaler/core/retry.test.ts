import { describe, expect, it } from 'vitest';

import { holdMs, holdsWithin, isMended, isTold, RETRY_LIMITS, retryDelayMs } from './retry.ts';

describe('what a provider has refused', () => {
  it('is asked for again later and later, up to a bound', () => {
    expect([0, 1, 2, 6, 50].map((failures) => retryDelayMs('unavailable', failures, null))).toEqual([
      5000, 10_000, 20_000, 300_000, 300_000,
    ]);
  });

  it.each(['quota', 'capacity', 'denied', 'invalid'] as const)(
    'is left for long where it is %s, and told of at once',
    (kind) => {
      expect(retryDelayMs(kind, 0, null)).toBe(RETRY_LIMITS.longLeastMs);
      expect(retryDelayMs(kind, 50, null)).toBe(RETRY_LIMITS.longMostMs);
      expect(isTold(kind, 0)).toBe(true);
    },
  );

  it('is waited for as long as the provider asks, within reason', () => {
    expect(retryDelayMs('throttled', 0, 60_000)).toBe(60_000);
    expect(retryDelayMs('throttled', 0, 1e12)).toBe(RETRY_LIMITS.longMostMs);
  });

  it('is told of where it does not mend by itself', () => {
    expect([0, 3, 4, 9].map((failures) => isTold('throttled', failures))).toEqual([false, false, true, true]);
  });

  it('holds further nodes back for longer each time', () => {
    expect([0, 1, 2, 30].map(holdMs)).toEqual([60_000, 120_000, 240_000, 3_600_000]);
  });
});

describe('what failed', () => {
  const failure = { sinceMs: 1000, newestMs: 5000, heldUntilMs: 65_000 };
  const now = { nowMs: 70_000, joinedAtMs: null, intervalMs: 10_000 };

  it('is not mended by time alone, as long as nothing was asked for after it', () => {
    expect(isMended(failure, now)).toBe(false);
    expect(isMended(failure, { ...now, joinedAtMs: 4000 })).toBe(false);
    expect(isMended(failure, { ...now, nowMs: 65_000 + RETRY_LIMITS.quietMs - 1 })).toBe(false);
  });

  it('is mended once a node has come since, and nothing is held back any more', () => {
    expect(isMended(failure, { ...now, joinedAtMs: 6000 })).toBe(true);
    expect(isMended(failure, { ...now, joinedAtMs: 6000, nowMs: 64_999 })).toBe(false);
  });

  it('is over after a time in which the rules have asked for nothing', () => {
    expect(isMended(failure, { ...now, nowMs: 65_000 + RETRY_LIMITS.quietMs })).toBe(true);
    const rare = { ...now, intervalMs: RETRY_LIMITS.quietMs };
    expect(isMended(failure, { ...rare, nowMs: 65_000 + 2 * RETRY_LIMITS.quietMs - 1 })).toBe(false);
    expect(isMended(failure, { ...rare, nowMs: 65_000 + 2 * RETRY_LIMITS.quietMs })).toBe(true);
  });

  it('is mended at once where nothing was held back for it', () => {
    expect(isMended({ ...failure, sinceMs: 5000, heldUntilMs: 5000 }, now)).toBe(true);
  });
});

describe('holds that a leader has not counted', () => {
  it.each([
    [0, 0],
    [59_999, 0],
    [60_000, 1],
    [179_999, 1],
    [180_000, 2],
    [420_000, 3],
    [30 * 3_600_000, 34],
  ])('within %i ms are %i', (heldMs, holds) => {
    expect(holdsWithin({ sinceMs: 1000, heldUntilMs: 1000 + heldMs })).toBe(holds);
  });

  it('are none before there is a failure', () => {
    expect(holdsWithin(null)).toBe(0);
  });
});
