import { describe, expect, it } from 'vitest';

import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import type { WorkerEvent } from './worker-events.ts';

/** A watchdog that confirms at once, until it hangs. */
function parts(recordedMs: number | null): {
  readonly clock: VirtualClock;
  readonly events: WorkerEvent[];
  readonly asked: number[];
  readonly keeper: LeaseKeeper;
} {
  const clock = new VirtualClock();
  const events: WorkerEvent[] = [];
  const asked: number[] = [];
  const keeper = new LeaseKeeper({
    lease: {
      extendLease: async () => {},
      recordedDeadlineMs: async () => recordedMs,
      replaceHung: async () => void asked.push(clock.monotonicMs()),
    },
    emit: (event) => events.push(event),
    clock,
    bootMs: () => clock.monotonicMs(),
    random: () => 0.5,
    log: silentLog,
  });
  return { clock, events, asked, keeper };
}

describe('a lease that is over', () => {
  it('is enforced also where the watchdog hangs that has confirmed it', async () => {
    const { clock, events, asked, keeper } = parts(null);
    const beginMs = clock.monotonicMs();
    keeper.extend(1, beginMs + 3200, 3200);
    await clock.advance(3100);
    expect([asked, events.filter(({ type }) => type === 'leaseDue')]).toEqual([[], []]);
    await clock.advance(100);
    expect(events.at(-1)?.type).toBe('leaseDue');
    expect(asked).toEqual([beginMs + 3190]);
  });

  it('is enforced by a daemon that finds it on record, before it has any session [RECORD]', async () => {
    const beginMs = new VirtualClock().monotonicMs();
    const { clock, events, asked, keeper } = parts(beginMs + 500);
    await keeper.begin();
    await clock.advance(480);
    expect([asked, events]).toEqual([[], []]);
    await clock.advance(20);
    expect(events.map(({ type }) => type)).toEqual(['leaseDue']);
    expect(asked).toHaveLength(1);
  });

  it('gives way to what is granted meanwhile', async () => {
    const beginMs = new VirtualClock().monotonicMs();
    const { clock, events, keeper } = parts(beginMs + 500);
    await keeper.begin();
    keeper.extend(1, beginMs + 2000, 2000);
    await clock.advance(1900);
    expect(events.filter(({ type }) => type === 'leaseDue')).toEqual([]);
    keeper.close();
  });
});
