import { describe, expect, it } from 'vitest';

import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { Measured } from '../worker/usage-meter.ts';
import { History } from './history.ts';
import { MONITOR_LIMITS } from './limits.ts';
import { NodeHistory } from './node-history.ts';

describe('a history', () => {
  it.each([1, 7, 8, 9, 90, 91, 250])('keeps the newest of %d rows, the oldest first', (count) => {
    const history = new History(2, 90);
    for (let at = 0; at < count; at += 1) history.add(at, [at * 2, at % 2 === 0 ? null : at]);
    const expected = Array.from({ length: count }, (_, at) => ({
      atMs: at,
      values: [at * 2, at % 2 === 0 ? null : at],
    }));
    expect([...history.rows()]).toEqual(expected.slice(-90));
    expect([...history.rows(count - 3)]).toEqual(expected.slice(-90).slice(-3));
  });
});

describe('the history of a node', () => {
  it('has a row for each interval: the mean of rates, the end of amounts', async () => {
    const clock = new VirtualClock();
    const history = new NodeHistory(clock);
    const measure = (cpuPercent: number, receivedBytes: number): void =>
      history.add({
        usage: {
          cpu_percent: cpuPercent,
          memory_bytes: receivedBytes,
          disk_bytes: 5,
          wall_ms: clock.wallMs(),
        },
        network: { receivedBytes, transmittedBytes: 0 },
      } as Measured);
    measure(99, 1000);
    for (const [percent, bytes] of [
      [10, 1200],
      [20, 1400],
      [30, 1600],
      [40, 1800],
      [50, 2000],
    ] as const) {
      await clock.advance(MONITOR_LIMITS.historyIntervalMs / 5);
      measure(percent, bytes);
    }
    const at = new Date(clock.wallMs()).toISOString();
    const row = {
      at,
      cpu_percent: 30,
      memory_bytes: 2000,
      disk_bytes: 5,
      network_receive_bytes_per_second: 100,
      network_transmit_bytes_per_second: 0,
    };
    expect(history.samples(-Infinity)).toEqual([row]);
    expect(history.samples(clock.wallMs() + 1)).toEqual([]);
    await clock.advance(MONITOR_LIMITS.historyIntervalMs);
    measure(70, 2000);
    expect(history.samples(-Infinity)).toMatchObject([
      { at },
      { cpu_percent: 70, network_receive_bytes_per_second: 0 },
    ]);
  });
});
