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
  lease: gauge({
    name: 'jarvis_worker_lease_remaining_seconds',
    help: 'For how long the lease of this node allows its tasks to run on; absent before it has one',
  }),
} as const;

const ENDS: readonly AttemptStatus[] = ['COMPLETED', 'FAILED', 'LOST', 'CANCELLED'];

export interface WorkerPort {
  /** Its name. */
  readonly node: string;
  /** Null: not known at present. */
  usage(): { readonly cpuPercent: number; readonly memoryBytes: number } | null;
  /** Attempts that are being started, and those that run or are being stopped. */
  attempts(): { readonly starting: number; readonly running: number };
  /** Null: it has none yet. */
  leaseRemainingMs(): number | null;
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
  readonly #active: GaugeHandle<'node_id'>;
  readonly #duration: HistogramHandle<never>;
  readonly #attempts: GaugeHandle<'status'>;
  readonly #finished: CounterHandle<'status'>;
  readonly #lease: GaugeHandle<never>;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#cpu = registry.gauge(WORKER_FAMILIES.cpu);
    this.#memory = registry.gauge(WORKER_FAMILIES.memory);
    this.#active = registry.gauge(WORKER_FAMILIES.active);
    this.#duration = registry.histogram(WORKER_FAMILIES.duration);
    this.#attempts = registry.gauge(WORKER_FAMILIES.attempts);
    this.#finished = registry.counter(WORKER_FAMILIES.finished);
    for (const status of ENDS) this.#finished.add(0, { status });
    this.#lease = registry.gauge(WORKER_FAMILIES.lease);
  }

  follow(port: WorkerPort): void {
    this.#registry.onScrape('worker', () => this.#sample(port));
  }

  ended({ status, startedAtMs, atMs }: AttemptEnd): void {
    this.#finished.add(1, { status });
    // Clocks are set while tasks run.
    if (startedAtMs !== null) this.#duration.observe(Math.max(0, atMs - startedAtMs) / 1000);
  }

  #sample(port: WorkerPort): void {
    const labels = { node_id: port.node };
    const usage = port.usage();
    const { starting, running } = port.attempts();
    const leaseMs = port.leaseRemainingMs();
    for (const each of [this.#cpu, this.#memory, this.#lease]) each.clear();
    if (usage !== null) {
      this.#cpu.set(usage.cpuPercent, labels);
      this.#memory.set(usage.memoryBytes, labels);
    }
    this.#active.set(starting + running, labels);
    this.#attempts.set(starting, { status: 'STARTING' });
    this.#attempts.set(running, { status: 'RUNNING' });
    if (leaseMs !== null) this.#lease.set(leaseMs / 1000);
  }
}
