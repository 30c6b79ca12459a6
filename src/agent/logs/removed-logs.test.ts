import { describe, expect, it } from 'vitest';

import { parseRemovals, RemovedLogs } from './removed-logs.ts';

const MINUTE_MS = 60_000;

describe('what is remembered of removed logs', () => {
  it('is up to which end they went, and since when', () => {
    const removed = new RemovedLogs();
    expect(removed.removedAtMs(0)).toBeNull();
    expect(removed.add({ endedUntilMs: 10, atMs: MINUTE_MS })).toBe(true);
    expect(removed.add({ endedUntilMs: 5, atMs: 2 * MINUTE_MS })).toBe(false);
    expect(removed.add({ endedUntilMs: 20, atMs: 3 * MINUTE_MS })).toBe(true);
    expect([0, 10, 11, 20, 21].map((endedAtMs) => removed.removedAtMs(endedAtMs))).toEqual([
      MINUTE_MS,
      MINUTE_MS,
      3 * MINUTE_MS,
      3 * MINUTE_MS,
      null,
    ]);
  });

  it('is bounded, whether removals follow one another soon or not', () => {
    const removed = new RemovedLogs();
    for (let at = 1; at <= 1000; at += 1) removed.add({ endedUntilMs: at, atMs: at });
    expect(removed.removals).toEqual([{ endedUntilMs: 1000, atMs: 1 }]);
    for (let at = 1; at <= 1000; at += 1) removed.add({ endedUntilMs: 1000 + at, atMs: at * MINUTE_MS * 2 });
    expect(removed.removals).toHaveLength(256);
    expect(removed.removedAtMs(2000)).toBe(1000 * MINUTE_MS * 2);
    expect(removed.removedAtMs(1)).toBe(745 * MINUTE_MS * 2);
  });

  it('is read back as it was, or not at all', () => {
    const removed = new RemovedLogs();
    removed.add({ endedUntilMs: 1, atMs: 2 });
    expect(parseRemovals(JSON.parse(JSON.stringify(removed.removals)))).toEqual(removed.removals);
    for (const wrong of [null, {}, [1], [{ endedUntilMs: 1 }], Array.from({ length: 257 }, () => ({}))])
      expect(parseRemovals(wrong)).toBeNull();
  });
});
