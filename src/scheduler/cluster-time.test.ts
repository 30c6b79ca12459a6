import { expect, it } from 'vitest';

import type { Clock } from '../lib/clock.ts';
import { ClusterTime } from './cluster-time.ts';

class SettableClock implements Clock {
  wall = 1_000_000;
  monotonic = 5000;

  wallMs(): number {
    return this.wall;
  }

  monotonicMs(): number {
    return this.monotonic;
  }

  after(): () => void {
    return () => {};
  }

  advance(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }
}

it('is the wall clock, and never before the state', () => {
  const clock = new SettableClock();
  const time = new ClusterTime(clock);
  expect(time.nowMs(0)).toBe(1_000_000);
  expect(time.nowMs(999_000)).toBe(1_000_000);
  clock.advance(10);
  expect(time.nowMs(999_000)).toBe(1_000_010);
  expect(time.nowMs(1_000_050)).toBe(1_000_050);
});

it('goes on at half the pace where the clock was set back, until that has caught up', () => {
  const clock = new SettableClock();
  const time = new ClusterTime(clock);
  let stateMs = time.nowMs(1_000_000);
  clock.wall -= 3_600_000;
  // Every stamp becomes the state's time, however often: what is left of a millisecond is not lost for ever.
  for (let step = 0; step < 4000; step += 1) {
    clock.advance(1);
    stateMs = time.nowMs(stateMs);
  }
  expect(stateMs).toBe(1_002_000);
  clock.advance(7_300_000);
  expect(time.nowMs(stateMs)).toBe(clock.wall);
});
