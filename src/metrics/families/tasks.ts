/** Tasks on their way through the cluster, as the leader counts them. */
import { isTerminal } from '../../model/phases.ts';
import type { RowChange } from '../../model/rows.ts';
import type { SpecRow, TaskRow, TaskStatus } from '../../model/task.ts';
import { limits } from '../../lib/limits.ts';
import { ErrorTypes } from '../error-types.ts';
import { counter, FAST_BUCKETS, gauge, histogram, TASK_BUCKETS } from '../family.ts';
import { QueueTimes } from '../queue-times.ts';
import type { CounterHandle, GaugeHandle, HistogramHandle, MetricsRegistry } from '../registry.ts';
import { newsOf, type TaskChange } from '../task-changes.ts';

const exposure = 'leader';

export const TASK_FAMILIES = {
  depth: gauge({
    name: 'scheduler_queue_depth',
    help: 'Runnable tasks that are not assigned to a node yet, also those that max_parallel or a concurrency key hold back',
    unit: 'tasks',
    exposure,
  }),
  scheduled: counter({
    name: 'scheduler_tasks_scheduled_total',
    help: 'Assignments of tasks to nodes, as committed in the terms that this node has led',
    unit: 'tasks',
    exposure,
  }),
  latency: histogram({
    name: 'scheduler_latency_seconds',
    help: 'From the beginning of a planning pass to the commit of the assignments that it made, for each of them',
    exposure,
    buckets: FAST_BUCKETS,
  }),
  failures: counter({
    name: 'task_failures_total',
    help: 'Failed attempts of tasks by type of error; types that nobody has named beforehand count as Other',
    labels: ['error_type'],
    unit: 'attempts',
    exposure,
  }),
  tasks: gauge({
    name: 'jarvis_tasks',
    help: 'Tasks that are not over',
    labels: ['status'],
    unit: 'tasks',
    exposure,
  }),
  oldest: gauge({
    name: 'jarvis_queue_oldest_seconds',
    help: 'How long the task has waited that waits longest for a node; 0 where none does',
    exposure,
  }),
  wait: histogram({
    name: 'jarvis_queue_wait_seconds',
    help: 'From the moment a task could be placed to its assignment',
    exposure,
    buckets: TASK_BUCKETS,
  }),
  finished: counter({
    name: 'jarvis_tasks_finished_total',
    help: 'Tasks that came to their end',
    labels: ['status'],
    unit: 'tasks',
    exposure,
  }),
  exhausted: counter({
    name: 'jarvis_tasks_retries_exhausted_total',
    help: 'Tasks given up because all the attempts that they may have had failed',
    unit: 'tasks',
    exposure,
  }),
} as const;

/** What is not over; each shown also where there are none. */
const OPEN_STATUSES: readonly TaskStatus[] = ['WAITING', 'PENDING', 'ASSIGNED', 'RUNNING', 'FAILED'];
const TERMINAL_STATUSES: readonly TaskStatus[] = ['COMPLETED', 'PERMANENTLY_FAILED', 'CANCELLED', 'SKIPPED'];

/** The replicated state, as far as metrics go. */
export interface TasksPort {
  isLeading(): boolean;
  /** The cluster's time. */
  nowMs(): number;
  /** Tasks in the queue whose rows are there. */
  pendingCount(): number;
  /** Tasks of batches and DAGs whose rows are not made yet. */
  unmadeCount(): number;
  statusCount(status: TaskStatus): number;
  /** Error types that the cluster's own policy of retries names. */
  namedErrors(): readonly string[];
  /** Also of a task that is over; null: it has none any more. */
  spec(id: string): Promise<SpecRow | null>;
}

/** One entry of the log, as it was applied here. */
export interface AppliedEntry {
  readonly term: number;
  readonly command: { readonly atMs: number };
  readonly changes: readonly RowChange[];
}

export class TaskMetrics {
  readonly #depth: GaugeHandle<never>;
  readonly #scheduled: CounterHandle<never>;
  readonly #latency: HistogramHandle<never>;
  readonly #failures: CounterHandle<'error_type'>;
  readonly #tasks: GaugeHandle<'status'>;
  readonly #oldest: GaugeHandle<never>;
  readonly #wait: HistogramHandle<never>;
  readonly #finished: CounterHandle<'status'>;
  readonly #exhausted: CounterHandle<never>;
  readonly #errors = new ErrorTypes();
  readonly #queued = new QueueTimes();
  readonly #registry: MetricsRegistry;
  #port: TasksPort | null = null;
  /** The newest term that this node has led in. */
  #term: number | null = null;
  /** Since when this node follows the queue: what was there before has waited longer. */
  #followsSinceMs = 0;
  #lookUps = 0;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    this.#depth = registry.gauge(TASK_FAMILIES.depth);
    this.#scheduled = registry.counter(TASK_FAMILIES.scheduled);
    this.#latency = registry.histogram(TASK_FAMILIES.latency);
    this.#failures = registry.counter(TASK_FAMILIES.failures);
    for (const type of ErrorTypes.beforehand) this.#failures.add(0, { error_type: type });
    this.#tasks = registry.gauge(TASK_FAMILIES.tasks);
    this.#oldest = registry.gauge(TASK_FAMILIES.oldest);
    this.#wait = registry.histogram(TASK_FAMILIES.wait);
    this.#finished = registry.counter(TASK_FAMILIES.finished);
    for (const status of TERMINAL_STATUSES) this.#finished.add(0, { status });
    this.#exhausted = registry.counter(TASK_FAMILIES.exhausted);
  }

  follow(port: TasksPort): void {
    this.#port = port;
    this.#followsSinceMs = port.nowMs();
    this.#registry.onScrape('tasks', () => this.#sample(port));
  }

  /** This node leads in the term. */
  leads(term: number): void {
    this.#term = term;
  }

  /** A snapshot has taken the place of the state: what was known of the queue counts no more. */
  installed(): void {
    this.#queued.clear();
    if (this.#port !== null) this.#followsSinceMs = this.#port.nowMs();
  }

  /** A pass has come to so many assignments that are committed. */
  assigned(tasks: number, durationMs: number): void {
    for (let count = 0; count < tasks; count += 1) this.#latency.observe(durationMs / 1000);
  }

  /** To be called with every entry, in order, on every node: any of them may lead next. */
  applied({ term, command: { atMs }, changes }: AppliedEntry): void {
    // Also after it has lost the leadership: nobody else counts what it has begun.
    const counts = term === this.#term;
    for (const change of changes) if (change.table === 'task') this.#changed(change, atMs, counts);
  }

  #changed(change: TaskChange, atMs: number, counts: boolean): void {
    const { before, after } = change;
    const news = newsOf(change);
    if (news.isQueued) this.#queued.queued(change.key, before === null && after ? after.createdAtMs : atMs);
    const sinceMs = news.hasLeftQueue ? this.#queued.left(change.key) : null;
    if (!counts) return;
    if (news.isAssigned) {
      this.#scheduled.add(1);
      const waitedMs = atMs - (sinceMs ?? queuedAtLeastSinceMs(before) ?? atMs);
      this.#wait.observe(Math.max(0, waitedMs) / 1000);
    }
    if (news.failure !== null) {
      const named = this.#port?.namedErrors() ?? [];
      this.#failures.add(1, { error_type: this.#errors.label(news.failure, named) });
    }
    if (news.finished !== null) this.#finished.add(1, { status: news.finished });
    if (news.isGivenUp && after !== null) void this.#givenUp(after);
  }

  /** An error that is not retried ends a task as well: its policy, which memory has let go of, says which it was. */
  async #givenUp({ specId, retryCount }: TaskRow): Promise<void> {
    if (this.#port === null || this.#lookUps >= limits.metricsLookUps) return this.#exhausted.add(1);
    this.#lookUps += 1;
    try {
      const spec = await this.#port.spec(specId);
      if (spec === null || retryCount + 1 >= spec.spec.retryPolicy.maxAttempts) this.#exhausted.add(1);
    } catch {
      // The store is being closed, or has failed, which others tell of; more likely than not these were its last.
      this.#exhausted.add(1);
    } finally {
      this.#lookUps -= 1;
    }
  }

  #sample(port: TasksPort): void {
    for (const each of [this.#depth, this.#tasks, this.#oldest]) each.clear();
    if (!port.isLeading()) return;
    this.#depth.set(port.pendingCount() + port.unmadeCount());
    for (const status of OPEN_STATUSES) this.#tasks.set(port.statusCount(status), { status });
    this.#oldest.set(Math.max(0, port.nowMs() - (this.#oldestMs(port) ?? port.nowMs())) / 1000);
  }

  #oldestMs(port: TasksPort): number | null {
    const { oldestMs, size } = this.#queued;
    if (port.pendingCount() <= size) return oldestMs;
    return Math.min(oldestMs ?? this.#followsSinceMs, this.#followsSinceMs);
  }
}

/** Of a task that was queued before this node followed the queue: the earliest that its row allows. */
function queuedAtLeastSinceMs(task: TaskRow | null): number | null {
  if (task === null || isTerminal(task.status)) return null;
  return task.attempts.at(-1)?.finishedAtMs ?? task.createdAtMs;
}
