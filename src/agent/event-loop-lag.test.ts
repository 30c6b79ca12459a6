import { setTimeout as delay } from 'node:timers/promises';

import { expect, it, onTestFinished, vi } from 'vitest';

import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { EventLoopLag } from './event-loop-lag.ts';

const BLOCK_MS = 150;
const INTERVAL_MS = 10_000;

function block(): void {
  const untilMs = performance.now() + BLOCK_MS;
  while (performance.now() < untilMs);
}

it('a loop that was held is seen to have been late, once the interval is over', async () => {
  const clock = new VirtualClock();
  const lag = new EventLoopLag(clock);
  onTestFinished(() => lag.close());
  expect(lag.latest).toEqual({ quantiles: new Map(), sum: 0, count: 0 });
  await vi.waitUntil(
    async () => {
      block();
      await delay(1);
      await clock.advance(INTERVAL_MS);
      return (lag.latest.quantiles.get(1) ?? 0) >= BLOCK_MS / 2000;
    },
    { timeout: 20_000 },
  );
  const { quantiles, sum, count } = lag.latest;
  expect([...quantiles.keys()]).toEqual([0.5, 0.99, 1]);
  expect(sum).toBeGreaterThan(0);
  expect(count).toBeGreaterThan(0);
  // An interval without a look at the loop leaves what is known as it is.
  await clock.advance(INTERVAL_MS);
  expect(lag.latest.count).toBeGreaterThanOrEqual(count);
});
