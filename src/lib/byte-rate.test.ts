import { describe, expect, it } from 'vitest';

import { ByteRate } from './byte-rate.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

const never = new AbortController().signal;

describe('a bound on bytes per second', () => {
  it('holds for all who share it, after a burst', async () => {
    const clock = new VirtualClock();
    const rate = new ByteRate({ clock, bytesPerSecond: 1000, burstBytes: 100 });
    let sent = 0;
    const send = async (): Promise<void> => {
      for (let count = 0; count < 10; count += 1) {
        await rate.take(100, never);
        sent += 100;
      }
    };
    const both = Promise.all([send(), send()]);
    await clock.advance(0);
    expect(sent).toBe(100);
    await clock.advance(1000);
    expect(sent).toBe(1100);
    await clock.advance(900);
    await both;
    expect(sent).toBe(2000);
  });

  it('saves up no more than a burst', async () => {
    const clock = new VirtualClock();
    const rate = new ByteRate({ clock, bytesPerSecond: 1000, burstBytes: 100 });
    await clock.advance(60_000);
    await rate.take(100, never);
    let isThrough = false;
    void rate.take(100, never).then(() => (isThrough = true));
    await clock.advance(99);
    expect(isThrough).toBe(false);
    await clock.advance(1);
    expect(isThrough).toBe(true);
  });

  it('lets go of whoever has given up', async () => {
    const clock = new VirtualClock();
    const rate = new ByteRate({ clock, bytesPerSecond: 1, burstBytes: 1 });
    const giveUp = new AbortController();
    const waiting = rate.take(1000, giveUp.signal);
    giveUp.abort();
    await expect(waiting).resolves.toBeUndefined();
  });
});
