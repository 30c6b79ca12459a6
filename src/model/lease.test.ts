import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { killTimeMs, leaseMsOf } from './lease.ts';

describe('the lease', () => {
  it.each([
    [30_000, 3750, 25_693],
    [3000, 375, 2569],
    [60_000, 4000, 54_851],
  ])('of a timeout of %d ms leaves %d ms for ending and is %d ms', (timeoutMs, killMs, leaseMs) => {
    expect(killTimeMs(timeoutMs)).toBe(killMs);
    expect(leaseMsOf(timeoutMs)).toBe(leaseMs);
  });

  it('is over, and everything ended, before the timeout is, with the worst of clocks', () => {
    assert(
      property(integer({ min: 100, max: 3_600_000 }), (timeoutMs) => {
        const slowNode = leaseMsOf(timeoutMs) / 0.99 + killTimeMs(timeoutMs);
        const fastLeader = timeoutMs / 1.01;
        expect(slowNode).toBeLessThanOrEqual(fastLeader);
      }),
    );
  });
});
