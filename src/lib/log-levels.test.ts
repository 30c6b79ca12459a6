import { describe, expect, it } from 'vitest';

import { LogLevels } from './log-levels.ts';
import { VirtualClock } from './testing/virtual-clock.ts';

describe('the levels of a log', () => {
  it('are as they are configured, and what is no level of ours is always written', () => {
    const levels = new LogLevels('info', new VirtualClock());
    expect(levels.read()).toEqual({ level: 'info', configured: 'info', untilMs: null });
    expect(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'notice'].map((name) => levels.permits(name)),
    ).toEqual([false, false, true, true, true, true, true]);
  });

  it('change for a while, and come back by themselves', async () => {
    const clock = new VirtualClock();
    const levels = new LogLevels('info', clock);
    const untilMs = clock.wallMs() + 1000;
    expect(levels.set('debug', 1000)).toEqual({ level: 'debug', configured: 'info', untilMs });
    expect(levels.permits('debug')).toBe(true);
    await clock.advance(999);
    expect(levels.permits('debug')).toBe(true);
    await clock.advance(1);
    expect(levels.permits('debug')).toBe(false);
    expect(levels.read()).toEqual({ level: 'info', configured: 'info', untilMs: null });
  });

  it('go by the last change alone', async () => {
    const clock = new VirtualClock();
    const levels = new LogLevels('info', clock);
    levels.set('debug', 1000);
    levels.set('error', null);
    await clock.advance(5000);
    expect(levels.read()).toEqual({ level: 'error', configured: 'info', untilMs: null });
    levels.set('debug', 1000);
    expect(levels.set('info', 1000)).toEqual({ level: 'info', configured: 'info', untilMs: null });
  });

  it.each([
    ['info', 'debug'],
    ['info', 'fatal'],
    ['fatal', 'error'],
    ['fatal', 'trace'],
  ] as const)('tell of the change from %s to %s and of the one back while errors show', async (from, to) => {
    const clock = new VirtualClock();
    const levels = new LogLevels(from, clock);
    const told: object[] = [];
    levels.set(to, 1000, (change) => told.push({ ...change, shows: levels.permits('error') }));
    await clock.advance(1000);
    expect(told).toEqual([
      { before: from, level: to, forMs: 1000, shows: true },
      { before: to, level: from, forMs: null, shows: true },
    ]);
  });
});
