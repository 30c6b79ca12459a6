import { expect, it } from 'vitest';

import { samplesOf, testRegistry } from '../testing/samples.ts';
import { StorageMetrics, type SnapshotReading } from './storage.ts';

it('log, snapshots and errors are as the node reads them', async () => {
  const registry = testRegistry();
  const metrics = new StorageMetrics(registry);
  const reading = {
    walBytes: 300,
    walSegments: 2,
    failedCommands: 0,
    diskErrors: 1,
    failedSnapshotSends: 3,
  };
  let newest: SnapshotReading | null = null;
  metrics.follow({ read: () => reading, newestSnapshot: async () => newest });
  metrics.synced(2);
  metrics.snapshotDamaged();
  expect(await samplesOf(registry)).toEqual({
    jarvis_wal_fsync_duration_seconds_sum: 0.002,
    jarvis_wal_fsync_duration_seconds_count: 1,
    jarvis_wal_size_bytes: 300,
    jarvis_wal_segments: 2,
    jarvis_snapshot_size_bytes: 0,
    jarvis_snapshot_index: 0,
    jarvis_snapshot_failures_total: 4,
    jarvis_commands_failed_total: 0,
    jarvis_disk_errors_total: 1,
  });
  newest = { bytes: 5000, index: 42, writtenAtMs: 1_700_000_000_500 };
  expect(await samplesOf(registry, 'jarvis_snapshot_')).toEqual({
    jarvis_snapshot_size_bytes: 5000,
    jarvis_snapshot_index: 42,
    jarvis_snapshot_timestamp_seconds: 1_700_000_000.5,
    jarvis_snapshot_failures_total: 4,
  });
});
