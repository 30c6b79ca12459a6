import { expect, it } from 'vitest';

import { samplesOf, testRegistry } from '../testing/samples.ts';
import { ProcessMetrics, type ProcessPort } from './process.ts';

function portOf(changes: Partial<ProcessPort> = {}): ProcessPort {
  return {
    version: '1.2.3',
    nodeVersion: 'v24',
    startedAtMs: 5500,
    read: () => ({ cpuMs: 1500, residentBytes: 10, heapBytes: 5 }),
    openFiles: async () => 33,
    eventLoopLag: () => ({ quantiles: new Map([[0.99, 0.004]]), sum: 1, count: 2 }),
    certificates: () => null,
    ...changes,
  };
}

const BASE = {
  'jarvis_build_info{version="1.2.3",node_version="v24"}': 1,
  'jarvis_event_loop_lag_seconds{quantile="0.99"}': 0.004,
  jarvis_event_loop_lag_seconds_sum: 1,
  jarvis_event_loop_lag_seconds_count: 2,
  jarvis_process_cpu_seconds_total: 1.5,
  jarvis_process_resident_memory_bytes: 10,
  jarvis_process_heap_bytes: 5,
  jarvis_process_open_fds: 33,
  jarvis_process_start_time_seconds: 5.5,
};

it('the process is as it is read', async () => {
  const registry = testRegistry();
  void new ProcessMetrics(registry, portOf());
  for (let round = 0; round < 2; round += 1) expect(await samplesOf(registry)).toEqual(BASE);
});

it('with TLS certificates have their ends', async () => {
  const registry = testRegistry();
  void new ProcessMetrics(
    registry,
    portOf({ certificates: () => ({ nodeMs: 1_000_000, authorityMs: 2_000_000 }) }),
  );
  expect(await samplesOf(registry)).toEqual({
    ...BASE,
    'jarvis_certificate_expiry_timestamp_seconds{kind="node"}': 1000,
    'jarvis_certificate_expiry_timestamp_seconds{kind="authority"}': 2000,
  });
});
