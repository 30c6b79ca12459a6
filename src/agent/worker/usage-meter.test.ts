import { tmpdir } from 'node:os';
import { setImmediate } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import type { Clock } from '../../lib/clock.ts';
import { Heartbeat } from '../../generated/worker.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { measuredCapacity, nodeCapacity } from './capacity.ts';
import { parseCpuTicks, rates, UsageMeter, type Measured } from './usage-meter.ts';

const SAFE = Number.MAX_SAFE_INTEGER;

describe('usage', () => {
  it('reads busy and all ticks, waiting for disks not counted as busy', () => {
    const stat = 'cpu  10 1 5 100 20 0 2 1 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n';
    expect(parseCpuTicks(stat)).toEqual({ busyTicks: 19, totalTicks: 139 });
  });

  it('takes rates from two samples', () => {
    const none = {
      cpu_percent: 0,
      network_bytes_per_second: 0,
      network_receive_bytes_per_second: 0,
      network_transmit_bytes_per_second: 0,
    };
    const machine = { quota: null, busyTicks: 10, totalTicks: 100 };
    const first = { ...machine, atMs: 0, receivedBytes: 500, transmittedBytes: 0 };
    expect(rates(null, first)).toEqual(none);
    const second = { ...first, atMs: 2000, busyTicks: 60, totalTicks: 300, receivedBytes: 1500 };
    expect(rates(first, { ...second, transmittedBytes: 1000 })).toEqual({
      cpu_percent: 25,
      network_bytes_per_second: 1000,
      network_receive_bytes_per_second: 500,
      network_transmit_bytes_per_second: 500,
    });
    expect(rates(second, { ...first, atMs: 3000 })).toEqual(none);
  });

  it('takes the share of a quota, with what counts beside the group', () => {
    const machine = { busyTicks: 0, totalTicks: 0, receivedBytes: 0, transmittedBytes: 0 };
    const at = (atMs: number, scope: string, usedUs: number, outsideMillis = 0) => ({
      ...machine,
      atMs,
      quota: { scope, quotaMillis: 500, usedUs, outsideMillis },
    });
    const first = at(0, '7', 1_000_000);
    expect(rates(null, first).cpu_percent).toBe(0);
    expect(rates(first, at(2000, '7', 1_400_000)).cpu_percent).toBe(40);
    expect(rates(first, at(2000, '7', 1_400_000, 50)).cpu_percent).toBe(50);
    expect(rates(first, at(2000, '7', 9_000_000)).cpu_percent).toBe(100);
    expect(rates(first, at(2000, '7', 0, 50)).cpu_percent).toBe(10);
    // It was moved to another group.
    expect(rates(first, at(2000, '8', 1_400_000)).cpu_percent).toBe(0);
    expect(rates({ ...first, quota: null }, at(2000, '7', 1_400_000)).cpu_percent).toBe(0);
  });

  it('is that of the confinement where there is one', async () => {
    const { promise: measured, resolve } = Promise.withResolvers<void>();
    const clock: Clock = {
      wallMs: () => 0,
      monotonicMs: () => 0,
      after: (delayMs) => {
        if (delayMs === 1000) resolve();
        return () => {};
      },
    };
    const cpu = { scope: '7', quotaMillis: 500, usedUs: 0, outsideMillis: 0 };
    const confinement = { measure: async () => ({ cpu, memoryBytes: 77, memoryLimitBytes: 80 }) };
    const told: Measured[] = [];
    const meter = new UsageMeter({
      directory: tmpdir(),
      confinement,
      intervalMs: 1000,
      clock,
      log: silentLog,
      onMeasured: (measurement) => told.push(measurement),
    });
    meter.start();
    await measured;
    const usage = { cpu_scope: '7', memory_bytes: 77, memory_size_bytes: 80, pressure: ['memory'] };
    expect(meter.latest()).toMatchObject(usage);
    expect(meter.latest()?.disk_size_bytes).toBeGreaterThan(meter.latest()?.disk_bytes ?? Infinity);
    expect(told).toEqual([meter.measured()]);
    meter.close();
  });

  it('measures this machine, and goes on after a failure', async () => {
    const confinement = { measure: async () => ({ cpu: null, memoryBytes: null, memoryLimitBytes: null }) };
    for (const [directory, isKnown] of [
      [tmpdir(), true],
      ['/does/not/exist', false],
    ] as const) {
      const { promise: measured, resolve } = Promise.withResolvers<void>();
      const clock: Clock = {
        wallMs: () => 0,
        monotonicMs: () => 0,
        after: (delayMs) => {
          if (delayMs === 1000) resolve();
          return () => {};
        },
      };
      const meter = new UsageMeter({ directory, confinement, intervalMs: 1000, clock, log: silentLog });
      meter.start();
      await measured;
      expect(meter.latest() !== null && meter.latest()!.memory_bytes > 0).toBe(isKnown);
      meter.close();
    }
  });
});

describe('a file system that says odd things of its size', () => {
  it.each([
    [
      'it has no end',
      { blocks: 2 ** 53, bfree: 2 ** 53 - 1, bavail: 2 ** 53 - 1, bsize: 1024 },
      [1024, SAFE],
    ],
    ['it is full without an end', { blocks: 2 ** 53, bfree: 0, bavail: 0, bsize: 1024 }, [SAFE, SAFE]],
    ['more is free than there is', { blocks: 100, bfree: 101, bavail: 101, bsize: 512 }, [0, 51_200]],
    ['it says no numbers', { blocks: NaN, bfree: 0, bavail: 0, bsize: 512 }, [0, 0]],
  ])('leaves the node able to send its heartbeat: %s', async (_case, disk, expected) => {
    const { promise: measured, resolve } = Promise.withResolvers<Measured>();
    const meter = new UsageMeter({
      directory: tmpdir(),
      confinement: { measure: async () => ({ cpu: null, memoryBytes: null, memoryLimitBytes: null }) },
      intervalMs: 1000,
      clock: new VirtualClock(),
      log: silentLog,
      onMeasured: resolve,
      readDisk: async () => disk,
    });
    meter.start();
    const heartbeat = { session: 1, number: 1, usage: (await measured).usage };
    const { usage } = Heartbeat.decode(Heartbeat.encode(Heartbeat.fromPartial(heartbeat)).finish());
    expect([usage?.disk_bytes, usage?.disk_size_bytes]).toEqual(expected);
    meter.close();
  });
});

/** Tells when a round is over: then the next is planned. */
class RoundClock extends VirtualClock {
  #round = Promise.withResolvers<void>();

  override after(delayMs: number, callback: () => void): () => void {
    const cancel = super.after(delayMs, callback);
    if (delayMs === 1000) {
      this.#round.resolve();
      this.#round = Promise.withResolvers<void>();
    }
    return cancel;
  }

  get nextRound(): Promise<void> {
    return this.#round.promise;
  }
}

describe('a measurement that does not end', () => {
  const confined = { cpu: null, memoryBytes: 7, memoryLimitBytes: null };

  it('is given up and told of now and then; what is old counts as unknown; and one that works counts again', async () => {
    const clock = new RoundClock();
    const warnings: unknown[] = [];
    let hanging: PromiseWithResolvers<typeof confined> | null = null;
    let begun = 0;
    const meter = new UsageMeter({
      directory: tmpdir(),
      confinement: {
        measure: () => {
          begun += 1;
          return hanging === null ? Promise.resolve(confined) : hanging.promise;
        },
      },
      intervalMs: 1000,
      clock,
      log: { ...silentLog, warn: (details) => warnings.push(details) },
    });
    let round = clock.nextRound;
    meter.start();
    await round;
    expect(meter.latest()).toMatchObject({ memory_bytes: 7 });

    hanging = Promise.withResolvers<typeof confined>();
    await clock.advance(1000 + 3000);
    expect([meter.latest()?.memory_bytes, warnings.length]).toEqual([7, 0]);
    await clock.advance(2001);
    expect(meter.latest()).toBeNull();
    expect(warnings).toMatchObject([{ error: expect.stringContaining('5 s') }]);
    // The one that hangs holds a thread: there is no second one beside it.
    await clock.advance(1_200_000);
    expect(begun).toBe(2);
    expect(warnings).toHaveLength(3);

    // Its answer is old by now.
    hanging.resolve({ ...confined, memoryBytes: 8 });
    hanging = null;
    await clock.advance(0);
    expect(meter.latest()).toBeNull();
    // Its other parts are real ones, which take real time.
    while (meter.latest() === null) {
      round = clock.nextRound;
      await clock.advance(1000);
      await round;
      await setImmediate();
    }
    expect([begun, meter.latest()?.memory_bytes]).toEqual([3, 7]);
    meter.close();
  });
});

describe('capacity', () => {
  const measured = { cpuMillis: 4000, memoryBytes: 8000 };
  it.each([
    [
      'measured less the reserve',
      { cpuMillis: null, memoryBytes: null },
      { cpuMillis: 3000, memoryBytes: 7000 },
    ],
    ['stated as it stands', { cpuMillis: 9000, memoryBytes: null }, { cpuMillis: 9000, memoryBytes: 7000 }],
  ])('is %s', (_name, stated, expected) => {
    expect(nodeCapacity({ stated, reserve: { cpuMillis: 1000, memoryBytes: 1000 }, measured })).toEqual(
      expected,
    );
  });

  it('is no more than a control group allows, if less than a processor, too', () => {
    const all = measuredCapacity({ cpuMillis: null, memoryBytes: null });
    expect(all.cpuMillis).toBeGreaterThanOrEqual(1000);
    expect(measuredCapacity({ cpuMillis: 250, memoryBytes: 4096 })).toEqual({
      cpuMillis: 250,
      memoryBytes: 4096,
    });
  });

  it('is never below nothing', () => {
    const stated = { cpuMillis: null, memoryBytes: null };
    expect(nodeCapacity({ stated, reserve: { cpuMillis: 9000, memoryBytes: 0 }, measured }).cpuMillis).toBe(
      0,
    );
  });
});
