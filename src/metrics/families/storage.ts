/** What a node keeps on its disk: the log, snapshots, and what went wrong with either. */
import { counter, FAST_BUCKETS, gauge, histogram } from '../family.ts';
import type { CounterHandle, GaugeHandle, HistogramHandle, MetricsRegistry } from '../registry.ts';

export const STORAGE_FAMILIES = {
  fsync: histogram({
    name: 'jarvis_wal_fsync_duration_seconds',
    help: 'Syncs of the write-ahead log to the disk',
    buckets: FAST_BUCKETS,
  }),
  walSize: gauge({
    name: 'jarvis_wal_size_bytes',
    help: 'Files of the write-ahead log, unused room included',
  }),
  segments: gauge({
    name: 'jarvis_wal_segments',
    help: 'Files that the write-ahead log consists of',
    unit: 'files',
  }),
  snapshotSize: gauge({
    name: 'jarvis_snapshot_size_bytes',
    help: 'Newest snapshot file; 0 before there is one',
  }),
  snapshotIndex: gauge({
    name: 'jarvis_snapshot_index',
    help: 'Index of the log that the newest snapshot file is of',
  }),
  snapshotTime: gauge({
    name: 'jarvis_snapshot_timestamp_seconds',
    help: 'When the newest snapshot file was written, in seconds since 1970',
  }),
  snapshotFailures: counter({
    name: 'jarvis_snapshot_failures_total',
    help: 'Snapshot files found damaged, and tries to send one to a member that failed',
    unit: 'failures',
  }),
  commands: counter({
    name: 'jarvis_commands_failed_total',
    help: 'Committed commands that could not be read or applied, which is a bug',
    unit: 'commands',
  }),
  disk: counter({
    name: 'jarvis_disk_errors_total',
    help: 'Different errors of the disk below the data directory',
    unit: 'errors',
  }),
} as const;

export interface StorageReading {
  readonly walBytes: number;
  readonly walSegments: number;
  readonly failedCommands: number;
  readonly diskErrors: number;
  readonly failedSnapshotSends: number;
}

export interface SnapshotReading {
  readonly bytes: number;
  readonly index: number;
  readonly writtenAtMs: number;
}

export interface StoragePort {
  read(): StorageReading;
  /** Null: there is none. */
  newestSnapshot(): Promise<SnapshotReading | null>;
}

export class StorageMetrics {
  readonly #fsync: HistogramHandle<never>;
  readonly #walSize: GaugeHandle<never>;
  readonly #segments: GaugeHandle<never>;
  readonly #snapshotSize: GaugeHandle<never>;
  readonly #snapshotIndex: GaugeHandle<never>;
  readonly #snapshotTime: GaugeHandle<never>;
  readonly #snapshotFailures: CounterHandle<never>;
  readonly #commands: CounterHandle<never>;
  readonly #disk: CounterHandle<never>;
  readonly #registry: MetricsRegistry;
  #damagedSnapshots = 0;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#fsync = registry.histogram(STORAGE_FAMILIES.fsync);
    this.#walSize = registry.gauge(STORAGE_FAMILIES.walSize);
    this.#segments = registry.gauge(STORAGE_FAMILIES.segments);
    this.#snapshotSize = registry.gauge(STORAGE_FAMILIES.snapshotSize);
    this.#snapshotIndex = registry.gauge(STORAGE_FAMILIES.snapshotIndex);
    this.#snapshotTime = registry.gauge(STORAGE_FAMILIES.snapshotTime);
    this.#snapshotFailures = registry.counter(STORAGE_FAMILIES.snapshotFailures);
    this.#commands = registry.counter(STORAGE_FAMILIES.commands);
    this.#disk = registry.counter(STORAGE_FAMILIES.disk);
  }

  follow(port: StoragePort): void {
    this.#registry.onScrape('log', () => this.#sample(port.read()));
    this.#registry.onScrape('snapshots', async () => this.#sampleSnapshot(await port.newestSnapshot()));
  }

  synced(durationMs: number): void {
    this.#fsync.observe(durationMs / 1000);
  }

  snapshotDamaged(): void {
    this.#damagedSnapshots += 1;
  }

  #sample(reading: StorageReading): void {
    this.#walSize.set(reading.walBytes);
    this.#segments.set(reading.walSegments);
    this.#snapshotFailures.follow(this.#damagedSnapshots + reading.failedSnapshotSends);
    this.#commands.follow(reading.failedCommands);
    this.#disk.follow(reading.diskErrors);
  }

  #sampleSnapshot(newest: SnapshotReading | null): void {
    this.#snapshotSize.set(newest?.bytes ?? 0);
    this.#snapshotIndex.set(newest?.index ?? 0);
    // There is no time at which nothing was written.
    if (newest === null) this.#snapshotTime.clear();
    else this.#snapshotTime.set(newest.writtenAtMs / 1000);
  }
}
