/** What a node runs, and what it uses of its machine. */
import type { AttemptStatus } from '../../model/task.ts';
import { counter, gauge, histogram, TASK_BUCKETS } from '../family.ts';
import type { CounterHandle, GaugeHandle, HistogramHandle, MetricsRegistry } from '../registry.ts';

export const WORKER_FAMILIES = {
  cpu: gauge({
    name: 'worker_cpu_usage_percent',
    help: 'Share of the processors of the machine, or of the quota that the node is confined to, in use',
    labels: ['node_id'],
  }),
  memory: gauge({
    name: 'worker_memory_bytes',
    help: 'Memory of the machine, or of the control group that the node is confined to, in use',
    labels: ['node_id'],
  }),
  active: gauge({
    name: 'worker_active_tasks',
    help: 'Tasks that this node starts, runs or is stopping',
    labels: ['node_id'],
    unit: 'tasks',
  }),
  duration: histogram({
    name: 'task_duration_seconds',
    help: 'How long attempts that ended on this node had run',
    buckets: TASK_BUCKETS,
  }),
  attempts: gauge({
    name: 'jarvis_attempts',
    help: 'Attempts on this node that are not over',
    labels: ['status'],
    unit: 'attempts',
  }),
  finished: counter({
    name: 'jarvis_attempts_finished_total',
    help: 'Attempts that ended on this node',
    labels: ['status'],
    unit: 'attempts',
  }),
  memorySize: gauge({
    name: 'jarvis_worker_memory_size_bytes',
    help: 'Memory of the machine, or what the control group may use that the node is confined to',
  }),
  diskUsed: gauge({
    name: 'jarvis_worker_disk_used_bytes',
    help: 'What is in use of the file system that holds the data directory',
  }),
  diskSize: gauge({
    name: 'jarvis_worker_disk_size_bytes',
    help: 'Size of the file system that holds the data directory',
  }),
  network: counter({
    name: 'jarvis_worker_network_bytes_total',
    help: 'Received and sent by the network interfaces of the machine, the loopback not among them; direction is receive or transmit',
    labels: ['direction'],
  }),
  logSize: gauge({
    name: 'jarvis_task_log_size_bytes',
    help: 'Output of tasks that this node keeps, as of the last look through it',
  }),
  logWritten: counter({
    name: 'jarvis_task_log_written_bytes_total',
    help: 'Output of tasks that this node has written to its disk, with the time and stream of each piece',
  }),
  logDropped: counter({
    name: 'jarvis_task_log_dropped_bytes_total',
    help: 'Output of tasks that the disk of this node did not take',
  }),
  lease: gauge({
    name: 'jarvis_worker_lease_remaining_seconds',
    help: 'For how long the lease of this node allows its tasks to run on; absent before it has one',
  }),
} as const;

const ENDS: readonly AttemptStatus[] = ['COMPLETED', 'FAILED', 'LOST', 'CANCELLED'];

export interface UsageReading {
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memorySizeBytes: number;
  readonly diskBytes: number;
  readonly diskSizeBytes: number;
  /** Counters that never fall while this process lives. */
  readonly receivedBytes: number;
  readonly transmittedBytes: number;
}

interface OutputReading {
  readonly writtenBytes: number;
  readonly lostBytes: number;
}

export interface WorkerPort {
  /** Its name. */
  readonly node: string;
  /** Null: not known at present. */
  usage(): UsageReading | null;
  /** Attempts that are being started, and those that run or are being stopped. */
  attempts(): { readonly starting: number; readonly running: number };
  /** Null: it has none yet. */
  leaseRemainingMs(): number | null;
  /** Output of tasks that is kept; null: not known yet. */
  logBytes(): number | null;
  /** Of each part of the node that writes output, since that part began; null: it does not say. */
  output(): Promise<readonly (OutputReading | null)[]>;
}

/** The end of an attempt as its node reports it; times are of the node's clock. */
export interface AttemptEnd {
  readonly status: AttemptStatus;
  /** Null: it never ran. */
  readonly startedAtMs: number | null;
  readonly atMs: number;
}

export class WorkerMetrics {
  readonly #cpu: GaugeHandle<'node_id'>;
  readonly #memory: GaugeHandle<'node_id'>;
  readonly #sizes: Readonly<Record<'memorySize' | 'diskUsed' | 'diskSize', GaugeHandle<never>>>;
  readonly #network: CounterHandle<'direction'>;
  readonly #active: GaugeHandle<'node_id'>;
  readonly #duration: HistogramHandle<never>;
  readonly #attempts: GaugeHandle<'status'>;
  readonly #finished: CounterHandle<'status'>;
  readonly #lease: GaugeHandle<never>;
  readonly #logSize: GaugeHandle<never>;
  readonly #written: FollowedParts;
  readonly #dropped: FollowedParts;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const { memorySize, diskUsed, diskSize } = WORKER_FAMILIES;
    this.#cpu = registry.gauge(WORKER_FAMILIES.cpu);
    this.#memory = registry.gauge(WORKER_FAMILIES.memory);
    this.#active = registry.gauge(WORKER_FAMILIES.active);
    this.#duration = registry.histogram(WORKER_FAMILIES.duration);
    this.#attempts = registry.gauge(WORKER_FAMILIES.attempts);
    this.#finished = registry.counter(WORKER_FAMILIES.finished);
    for (const status of ENDS) this.#finished.add(0, { status });
    this.#sizes = {
      memorySize: registry.gauge(memorySize),
      diskUsed: registry.gauge(diskUsed),
      diskSize: registry.gauge(diskSize),
    };
    this.#network = registry.counter(WORKER_FAMILIES.network);
    this.#logSize = registry.gauge(WORKER_FAMILIES.logSize);
    this.#written = new FollowedParts(registry.counter(WORKER_FAMILIES.logWritten));
    this.#dropped = new FollowedParts(registry.counter(WORKER_FAMILIES.logDropped));
    this.#lease = registry.gauge(WORKER_FAMILIES.lease);
  }

  follow(port: WorkerPort): void {
    this.#registry.onScrape('worker', () => this.#sample(port));
    this.#registry.onScrape('output', async () => this.#sampleOutput(await port.output()));
  }

  ended({ status, startedAtMs, atMs }: AttemptEnd): void {
    this.#finished.add(1, { status });
    // Clocks are set while tasks run.
    if (startedAtMs !== null) this.#duration.observe(Math.max(0, atMs - startedAtMs) / 1000);
  }

  #sample(port: WorkerPort): void {
    const labels = { node_id: port.node };
    const { starting, running } = port.attempts();
    const leaseMs = port.leaseRemainingMs();
    const logBytes = port.logBytes();
    this.#sampleUsage(port.usage(), labels);
    for (const each of [this.#lease, this.#logSize]) each.clear();
    this.#active.set(starting + running, labels);
    this.#attempts.set(starting, { status: 'STARTING' });
    this.#attempts.set(running, { status: 'RUNNING' });
    if (leaseMs !== null) this.#lease.set(leaseMs / 1000);
    if (logBytes !== null) this.#logSize.set(logBytes);
  }

  #sampleUsage(usage: UsageReading | null, labels: { readonly node_id: string }): void {
    for (const each of [this.#cpu, this.#memory, ...Object.values(this.#sizes)]) each.clear();
    if (usage === null) return;
    this.#cpu.set(usage.cpuPercent, labels);
    this.#memory.set(usage.memoryBytes, labels);
    this.#sizes.memorySize.set(usage.memorySizeBytes);
    this.#sizes.diskUsed.set(usage.diskBytes);
    this.#sizes.diskSize.set(usage.diskSizeBytes);
    this.#network.follow(usage.receivedBytes, { direction: 'receive' });
    this.#network.follow(usage.transmittedBytes, { direction: 'transmit' });
  }

  #sampleOutput(parts: readonly (OutputReading | null)[]): void {
    this.#written.follow(parts.map((part) => part?.writtenBytes ?? null));
    this.#dropped.follow(parts.map((part) => part?.lostBytes ?? null));
  }
}

/** One counter of several parts, each of which may begin anew by itself. */
class FollowedParts {
  readonly #counter: CounterHandle<never>;
  readonly #before: number[] = [];

  constructor(counter: CounterHandle<never>) {
    this.#counter = counter;
  }

  follow(totals: readonly (number | null)[]): void {
    for (const [at, total] of totals.entries()) {
      if (total === null) continue;
      const before = this.#before[at] ?? 0;
      this.#before[at] = total;
      this.#counter.add(total < before ? total : total - before);
    }
  }
}
