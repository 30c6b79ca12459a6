import { describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
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

/** A watchdog that refuses sessions which have ended, and confirms nothing before it is told to. */
class SlowWatchdog {
  session = 1;
  isReady = false;
  readonly kept: (readonly [session: number, deadlineMs: number])[] = [];

  async extendLease(session: number, deadlineMs: number): Promise<void> {
    if (session < this.session) throw new JarvisError('conflict', `session ${session} has ended`);
    if (!this.isReady) throw new JarvisError('timeout', 'the watchdog does not answer');
    this.kept.push([session, deadlineMs]);
  }

  readonly recordedDeadlineMs = async () => null;
  readonly replaceHung = async () => {};
}

describe('a deadline that the watchdog did not confirm while its session lasted', () => {
  it('is handed out in the session that came after it: no heartbeat goes out before it is confirmed [CONFIRM]', async () => {
    const clock = new VirtualClock();
    const events: WorkerEvent[] = [];
    const watchdog = new SlowWatchdog();
    const bootMs = (): number => clock.monotonicMs();
    const emit = (event: WorkerEvent): void => void events.push(event);
    const keeper = new LeaseKeeper({
      lease: watchdog,
      emit,
      clock,
      bootMs,
      random: () => 0.5,
      log: silentLog,
    });
    const deadlineMs = clock.monotonicMs() + 3200;
    keeper.extend(1, deadlineMs, 3200);
    await clock.advance(5000);
    watchdog.session = 2;
    watchdog.isReady = true;
    keeper.sessionBegan(2);
    await clock.advance(1000);
    expect(watchdog.kept).toEqual([[2, deadlineMs]]);
    expect(events.at(-1)).toEqual({ type: 'leaseConfirmed', deadlineMs });
    keeper.close();
  });

  it('is not handed out again where it was confirmed', async () => {
    const clock = new VirtualClock();
    const watchdog = new SlowWatchdog();
    watchdog.isReady = true;
    const bootMs = (): number => clock.monotonicMs();
    const keeper = new LeaseKeeper({
      lease: watchdog,
      emit: () => {},
      clock,
      bootMs,
      random: () => 0.5,
      log: silentLog,
    });
    keeper.extend(1, clock.monotonicMs() + 3200, 3200);
    await clock.advance(100);
    keeper.sessionBegan(2);
    await clock.advance(1000);
    expect(watchdog.kept.map(([session]) => session)).toEqual([1]);
    keeper.close();
  });
});
