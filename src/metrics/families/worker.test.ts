import { expect, it } from 'vitest';

import { samplesOf, testRegistry } from '../testing/samples.ts';
import { WorkerMetrics, type UsageReading, type WorkerPort } from './worker.ts';

const USAGE: UsageReading = {
  cpuPercent: 45,
  memoryBytes: 2300,
  memorySizeBytes: 8000,
  diskBytes: 120,
  diskSizeBytes: 500,
  receivedBytes: 1000,
  transmittedBytes: 200,
};

function begin(changes: Partial<WorkerPort> = {}) {
  const registry = testRegistry();
  const metrics = new WorkerMetrics(registry);
  metrics.follow({
    node: 'n2',
    usage: () => USAGE,
    attempts: () => ({ starting: 1, running: 3 }),
    leaseRemainingMs: () => 12_500,
    logBytes: () => 77,
    output: async () => [
      { writtenBytes: 10, lostBytes: 0 },
      { writtenBytes: 5, lostBytes: 2 },
    ],
    ...changes,
  });
  return { registry, metrics };
}

it('the node says what it uses and runs, by its name', async () => {
  const { registry } = begin();
  expect(await samplesOf(registry, 'worker_')).toEqual({
    'worker_cpu_usage_percent{node_id="n2"}': 45,
    'worker_memory_bytes{node_id="n2"}': 2300,
    'worker_active_tasks{node_id="n2"}': 4,
  });
  expect(await samplesOf(registry, 'jarvis_worker')).toEqual({
    jarvis_worker_memory_size_bytes: 8000,
    jarvis_worker_disk_used_bytes: 120,
    jarvis_worker_disk_size_bytes: 500,
    'jarvis_worker_network_bytes_total{direction="receive"}': 1000,
    'jarvis_worker_network_bytes_total{direction="transmit"}': 200,
    jarvis_worker_lease_remaining_seconds: 12.5,
  });
  expect(await samplesOf(registry, 'jarvis_attempts{')).toEqual({
    'jarvis_attempts{status="STARTING"}': 1,
    'jarvis_attempts{status="RUNNING"}': 3,
  });
  expect(await samplesOf(registry, 'jarvis_task_log')).toEqual({
    jarvis_task_log_size_bytes: 77,
    jarvis_task_log_written_bytes_total: 15,
    jarvis_task_log_dropped_bytes_total: 2,
  });
});

it('what is not known is absent, and no old value stays', async () => {
  let usage: UsageReading | null = USAGE;
  const { registry } = begin({ usage: () => usage, leaseRemainingMs: () => null, logBytes: () => null });
  await samplesOf(registry);
  usage = null;
  expect(await samplesOf(registry, 'worker_')).toEqual({ 'worker_active_tasks{node_id="n2"}': 4 });
  expect(await samplesOf(registry, 'jarvis_worker')).toEqual({
    // Counters go on.
    'jarvis_worker_network_bytes_total{direction="receive"}': 1000,
    'jarvis_worker_network_bytes_total{direction="transmit"}': 200,
  });
  expect(await samplesOf(registry, 'jarvis_task_log_size')).toEqual({});
});

it('each part that writes output may begin anew by itself, or say nothing', async () => {
  const readings = [
    [{ writtenBytes: 10, lostBytes: 0 }, null],
    [{ writtenBytes: 4, lostBytes: 1 }, null],
    [null, { writtenBytes: 100, lostBytes: 0 }],
    [
      { writtenBytes: 5, lostBytes: 1 },
      { writtenBytes: 150, lostBytes: 0 },
    ],
  ];
  const { registry } = begin({ output: async () => readings.shift() ?? [] });
  const seen: unknown[] = [];
  while (readings.length > 0) seen.push(Object.values(await samplesOf(registry, 'jarvis_task_log_')));
  expect(seen).toEqual([
    [77, 10, 0],
    [77, 14, 1],
    [77, 114, 1],
    [77, 165, 1],
  ]);
});

it('attempts that ended count by how, and with the time that they ran', async () => {
  const { registry, metrics } = begin();
  metrics.ended({ status: 'COMPLETED', startedAtMs: 1000, atMs: 3500 });
  metrics.ended({ status: 'FAILED', startedAtMs: 1000, atMs: 500 });
  metrics.ended({ status: 'CANCELLED', startedAtMs: null, atMs: 500 });
  expect(await samplesOf(registry, 'jarvis_attempts_finished')).toEqual({
    'jarvis_attempts_finished_total{status="COMPLETED"}': 1,
    'jarvis_attempts_finished_total{status="FAILED"}': 1,
    'jarvis_attempts_finished_total{status="LOST"}': 0,
    'jarvis_attempts_finished_total{status="CANCELLED"}': 1,
  });
  expect(await samplesOf(registry, 'task_duration')).toEqual({
    task_duration_seconds_sum: 2.5,
    task_duration_seconds_count: 2,
  });
});
