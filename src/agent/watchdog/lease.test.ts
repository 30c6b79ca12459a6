import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { systemClock } from '../../lib/clock.ts';
import { Lease, leaseFile } from './lease.ts';
import { WATCHDOG_LIMITS } from './limits.ts';

let directory: string;
let nowMs: number;
let over: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jarvis-lease-'));
  nowMs = 1000;
  over = 0;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true });
});

const open = (bootId = 'boot-1', file = leaseFile(directory)): Promise<Lease> =>
  Lease.open({
    file,
    bootId,
    nowMs: () => nowMs,
    after: (delayMs, callback) => systemClock.after(delayMs, callback),
    onOver: () => (over += 1),
  });

function pass(durationMs: number): void {
  nowMs += durationMs;
  vi.advanceTimersByTime(durationMs);
}

describe('a lease', () => {
  it('has passed where none is on record', async () => {
    const lease = await open();
    expect(lease.holds).toBe(false);
    expect(over).toBe(1);
  });

  it('is on disk when it is confirmed, and goes on with the next watchdog [RECORD]', async () => {
    const lease = await open();
    await lease.extend(26_000);
    expect(JSON.parse(readFileSync(join(directory, 'lease.json'), 'utf8'))).toEqual({
      bootId: 'boot-1',
      deadlineMs: 26_000,
    });
    nowMs = 20_000;
    expect((await open()).holds).toBe(true);
    nowMs = 26_000;
    expect((await open()).holds).toBe(false);
  });

  it('does not outlive its boot, nor a record that does not read', async () => {
    await (await open()).extend(26_000);
    expect((await open('boot-2')).holds).toBe(false);
    writeFileSync(join(directory, 'lease.json'), '{"bootId":"boot-1","deadl');
    expect((await open()).holds).toBe(false);
  });

  it('is over at its deadline, by what the clock can have left out', async () => {
    const lease = await open();
    over = 0;
    await lease.extend(4000);
    pass(2989);
    expect([lease.holds, over]).toEqual([true, 0]);
    pass(1);
    expect([lease.holds, over]).toEqual([false, 1]);
  });

  it('is over however long the timer slept', async () => {
    const lease = await open();
    over = 0;
    await lease.extend(60_000);
    nowMs = 70_000;
    expect(lease.holds).toBe(false);
    vi.advanceTimersByTime(WATCHDOG_LIMITS.leaseLookMs);
    expect(over).toBe(1);
  });

  it('says so again until there is another, and is never shortened', async () => {
    const lease = await open();
    over = 0;
    await lease.extend(2000);
    pass(1000 + 2 * WATCHDOG_LIMITS.leaseLookMs);
    expect(over).toBe(3);
    await lease.extend(60_000);
    await lease.extend(50_000);
    pass(WATCHDOG_LIMITS.leaseLookMs);
    expect([lease.holds, over]).toEqual([true, 3]);
    nowMs = 55_000;
    expect(lease.holds).toBe(true);
  });

  it('is written again where a disk did not take it: the same deadline is asked for until it is confirmed', async () => {
    const file = leaseFile(directory);
    let fails = 1;
    const lease = await open('boot-1', {
      read: () => file.read(),
      write: async (text) => {
        fails -= 1;
        if (fails >= 0) throw new Error('no space left on device');
        await file.write(text);
      },
    });
    await expect(lease.extend(26_000)).rejects.toThrow('no space');
    await lease.extend(26_000);
    nowMs = 20_000;
    expect((await open()).holds).toBe(true);
  });
});
