/** The engine's own measurement of a container, as counters. Engines leave out what their control groups do not count. */
import { totalmem } from 'node:os';

import { z } from 'zod';

import type { AttemptCounters } from '../attempt-counters.ts';

const count = z.number().nonnegative();

const statsSchema = z.object({
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: count }).partial() }).partial(),
  memory_stats: z
    .object({ usage: count, limit: count, stats: z.record(z.string(), z.number()).nullable() })
    .partial(),
  pids_stats: z.object({ current: count }).partial(),
  blkio_stats: z
    .object({
      io_service_bytes_recursive: z.array(z.object({ op: z.string(), value: count })).nullable(),
    })
    .partial(),
  /** Absent without a network of its own. */
  networks: z.record(z.string(), z.object({ rx_bytes: count, tx_bytes: count })).optional(),
});

/** @param answer of `GET /containers/ID/stats?stream=false&one-shot=true` @returns null where it is none */
export function countersOfStats(answer: unknown, machineBytes = totalmem()): AttemptCounters | null {
  const parsed = statsSchema.safeParse(answer);
  if (!parsed.success) return null;
  const { cpu_stats: cpu, memory_stats: memory, pids_stats: pids, blkio_stats: io, networks } = parsed.data;
  const nanoseconds = cpu.cpu_usage?.total_usage;
  // Version 2 of control groups, and version 1.
  const cache = memory.stats?.['inactive_file'] ?? memory.stats?.['total_inactive_file'] ?? 0;
  const interfaces = networks === undefined ? null : Object.values(networks);
  const transfers = io.io_service_bytes_recursive ?? null;
  return {
    cpuUs: nanoseconds === undefined ? null : nanoseconds / 1000,
    memoryBytes: memory.usage === undefined ? null : Math.max(0, memory.usage - cache),
    // Without one it says the memory of the machine.
    memoryLimitBytes: memory.limit === undefined || memory.limit >= machineBytes ? null : memory.limit,
    pids: pids.current ?? null,
    readBytes: sum(transfers, (one) => (one.op.toLowerCase() === 'read' ? one.value : 0)),
    writtenBytes: sum(transfers, (one) => (one.op.toLowerCase() === 'write' ? one.value : 0)),
    receivedBytes: sum(interfaces, (one) => one.rx_bytes),
    transmittedBytes: sum(interfaces, (one) => one.tx_bytes),
  };
}

function sum<T>(items: readonly T[] | null, of: (item: T) => number): number | null {
  return items === null ? null : items.reduce((total, item) => total + of(item), 0);
}
