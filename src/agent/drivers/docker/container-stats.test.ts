import { describe, expect, it } from 'vitest';

import { countersOfStats } from './container-stats.ts';

const GIB = 1024 ** 3;

describe("the engine's measurement of a container", () => {
  it('reads on control groups of version 2', () => {
    const answer = {
      cpu_stats: { cpu_usage: { total_usage: 3_000_000, usage_in_kernelmode: 1 }, online_cpus: 2 },
      memory_stats: { usage: 900, limit: GIB, stats: { anon: 1, inactive_file: 300 } },
      pids_stats: { current: 3, limit: 100 },
      blkio_stats: {
        io_service_bytes_recursive: [
          { major: 8, minor: 0, op: 'read', value: 10 },
          { major: 8, minor: 0, op: 'write', value: 20 },
          { major: 9, minor: 0, op: 'Read', value: 1 },
        ],
        io_serviced_recursive: null,
      },
      networks: { eth0: { rx_bytes: 5, tx_bytes: 6, rx_errors: 0 }, eth1: { rx_bytes: 1, tx_bytes: 1 } },
    };
    expect(countersOfStats(answer, 4 * GIB)).toEqual({
      cpuUs: 3000,
      memoryBytes: 600,
      memoryLimitBytes: GIB,
      pids: 3,
      readBytes: 11,
      writtenBytes: 20,
      receivedBytes: 6,
      transmittedBytes: 7,
    });
    // No limit reads as all memory of the machine.
    expect(countersOfStats(answer, GIB)?.memoryLimitBytes).toBeNull();
  });

  it('leaves untold what the engine leaves out', () => {
    const empty = {
      cpu_stats: {},
      memory_stats: {},
      pids_stats: {},
      blkio_stats: { io_service_bytes_recursive: null },
    };
    expect(Object.values(countersOfStats(empty) ?? { none: 0 })).toEqual(Array(8).fill(null));
  });

  it('is none where the engine answers with something else, or with nothing', () => {
    expect([null, '', { message: 'no' }].map((answer) => countersOfStats(answer))).toEqual([
      null,
      null,
      null,
    ]);
  });
});
