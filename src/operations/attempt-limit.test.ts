import { describe, expect, it } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { AttemptLimit } from './attempt-limit.ts';

const DIRECT = { isForwarded: false };

function scene() {
  const clock = new VirtualClock();
  const limit = new AttemptLimit(clock);
  const wrong = (address: string, times = 1, how = DIRECT) => {
    for (let done = 0; done < times; done += 1) limit.begin(address, how).end('wrong');
  };
  /** For how long the address has to wait; null: not at all. */
  const waitMs = (address: string, how = DIRECT): number | null => {
    try {
      limit.begin(address, how).end('unknown');
      return null;
    } catch (error) {
      if (!(error instanceof JarvisError) || error.code !== 'too_many') throw error;
      return error.retryAfterMs;
    }
  };
  return { clock, limit, wrong, waitMs };
}

describe('wrong tokens', () => {
  it('make their address wait after some of them, each time twice as long, up to a bound', () => {
    const { clock, wrong, waitMs } = scene();
    wrong('10.0.0.1', limits.wrongTokens - 1);
    expect(waitMs('10.0.0.1')).toBeNull();
    wrong('10.0.0.1');
    const waits: (number | null)[] = [];
    for (let round = 0; round < 12; round += 1) {
      const leftMs = waitMs('10.0.0.1');
      waits.push(leftMs);
      clock.freeze(leftMs ?? 0);
      wrong('10.0.0.1');
    }
    expect(waits.slice(0, 4)).toEqual([1000, 2000, 4000, 8000]);
    expect(waits.at(-1)).toBe(limits.wrongTokenMostMs);
  });

  it('are nothing to other addresses', () => {
    const { wrong, waitMs } = scene();
    wrong('10.0.0.1', limits.wrongTokens);
    expect(waitMs('10.0.0.1')).toBe(1000);
    expect(waitMs('10.0.0.2')).toBeNull();
  });

  it('count for a whole network of IPv6, and for IPv4 however it is written', () => {
    const { wrong, waitMs } = scene();
    wrong('2001:db8::1', limits.wrongTokens);
    expect(waitMs('2001:db8:0:0:ffff::2')).toBe(1000);
    expect(waitMs('2001:db8:0:1::1')).toBeNull();
    wrong('::ffff:10.0.0.1', limits.wrongTokens);
    expect(waitMs('10.0.0.1')).toBe(1000);
  });

  it('are forgotten after a quiet time', () => {
    const { clock, wrong, waitMs } = scene();
    wrong('10.0.0.1', limits.wrongTokens);
    clock.freeze(limits.wrongTokenForgottenMs);
    wrong('10.0.0.1', limits.wrongTokens - 1);
    expect(waitMs('10.0.0.1')).toBeNull();
  });

  it('count from their beginning: many at once are no way around the bound', () => {
    const { limit, waitMs } = scene();
    const begun = Array.from({ length: limits.wrongTokens }, () => limit.begin('10.0.0.1', DIRECT));
    expect(waitMs('10.0.0.1')).toBe(limits.wrongTokenLeastMs);
    for (const attempt of begun) attempt.end('right');
    expect(waitMs('10.0.0.1')).toBeNull();
  });

  it('that a node sends on count apart, and more are let pass', () => {
    const { wrong, waitMs } = scene();
    const forwarded = { isForwarded: true };
    wrong('10.0.0.1', limits.wrongTokensForwarded - 1, forwarded);
    expect(waitMs('10.0.0.1', forwarded)).toBeNull();
    expect(waitMs('10.0.0.1')).toBeNull();
    wrong('10.0.0.1', 1, forwarded);
    expect(waitMs('10.0.0.1', forwarded)).toBe(1000);
    expect(waitMs('10.0.0.1')).toBeNull();
  });

  it('from ever new addresses are remembered up to a bound; those beyond it share one record', () => {
    const { clock, wrong, waitMs } = scene();
    for (let at = 0; at < limits.wrongTokenAddresses; at += 1) wrong(`host-${at}`);
    for (let at = 0; at < limits.wrongTokens; at += 1) wrong(`more-${at}`);
    expect(waitMs('yet-another')).toBe(1000);
    expect(waitMs('host-1')).toBeNull();
    clock.freeze(limits.wrongTokenForgottenMs);
    expect(waitMs('yet-another')).toBeNull();
  });
});
