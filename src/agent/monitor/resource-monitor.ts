/**
 * The resource monitor of a node: what the node and each running attempt use, now and over the last quarter of an hour.
 * Heartbeats take the newest of the node; any peer may ask for all of it; a restart forgets it.
 */
import type { AttemptUsage, NodeUsage } from '../../generated/cluster.ts';
import type { Usage } from '../../generated/worker.ts';
import type { Clock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { formatTime } from '../../lib/times.ts';
import type { LocalUsage, UsageQuestion } from '../../operations/node-port.ts';
import { ProcessScanner } from '../watchdog/processes.ts';
import type { ConfinementSource, Measured, UsageSource } from '../worker/usage-meter.ts';
import { UsageMeter } from '../worker/usage-meter.ts';
import { AttemptMeter, type MeasuredAttempt, type MeasuredDriver } from './attempt-meter.ts';
import { AttemptReader } from './attempt-reader.ts';
import { GroupHierarchies } from './group-counters.ts';
import { MONITOR_LIMITS } from './limits.ts';
import { NodeHistory } from './node-history.ts';
import { ProcessCounters } from './process-counters.ts';

const USAGE_INTERVAL_MS = 2000;

export interface ResourceMonitorOptions {
  readonly node: string;
  /** On the file system whose use is reported. */
  readonly directory: string;
  readonly confinement: ConfinementSource;
  readonly drivers: readonly MeasuredDriver[];
  readonly clock: Clock;
  readonly log: Log;
}

export class ResourceMonitor implements UsageSource, LocalUsage {
  readonly #node: string;
  readonly #meter: UsageMeter;
  readonly #attempts: AttemptMeter;
  readonly #history: NodeHistory;

  constructor(options: ResourceMonitorOptions) {
    const { node, directory, confinement, drivers, clock, log } = options;
    this.#node = node;
    this.#history = new NodeHistory(clock);
    this.#meter = new UsageMeter({
      directory,
      confinement,
      intervalMs: USAGE_INTERVAL_MS,
      clock,
      log,
      onMeasured: (measured) => this.#history.add(measured),
    });
    const scanner = new ProcessScanner();
    const reader = new AttemptReader(new GroupHierarchies(), new ProcessCounters());
    this.#attempts = new AttemptMeter({ drivers, reader, scan: scanner.scan, clock, log });
  }

  start(): void {
    this.#meter.start();
    this.#attempts.start();
  }

  async close(): Promise<void> {
    this.#meter.close();
    await this.#attempts.close();
  }

  /** For heartbeats; null where nothing is known. */
  latest(): Usage | null {
    return this.#meter.latest();
  }

  /** For metrics: the same with its counters. */
  measured(): Measured | null {
    return this.#meter.measured();
  }

  async read(question: UsageQuestion): Promise<NodeUsage> {
    const sinceMs = question.sinceMs ?? -Infinity;
    const usage = this.latest();
    const attempts = await this.#attemptsOf(question);
    const shown = question.attempt === null ? attempts.slice(0, question.limit ?? attempts.length) : attempts;
    return {
      node: this.#node,
      sampled_at: usage === null ? undefined : formatTime(usage.wall_ms),
      interval: MONITOR_LIMITS.historyIntervalMs / 1000,
      usage: usage ?? undefined,
      history: question.attempt === null ? this.#history.samples(sinceMs) : [],
      attempts: shown.map((one) => attemptUsage(one, question.attempt === null ? null : sinceMs)),
      attempts_total: attempts.length,
    };
  }

  async #attemptsOf({ attempt }: UsageQuestion): Promise<readonly MeasuredAttempt[]> {
    if (attempt === null) return this.#attempts.all();
    const found = await this.#attempts.one({ taskId: attempt.taskId, assignment: attempt.assignment });
    if (found !== null) return [found];
    const what = `nothing of ${attempt.taskId} runs on node ${this.#node} that could be measured`;
    throw new JarvisError('not_found', what);
  }
}

/** @param monitor null: the node is starting */
export function usageOf(monitor: () => LocalUsage | null): LocalUsage {
  return {
    read: async (question) => {
      const present = monitor();
      if (present === null) throw new JarvisError('unavailable', 'this node is starting');
      return await present.read(question);
    },
  };
}

/** @param historySinceMs null: without its history */
function attemptUsage(measured: MeasuredAttempt, historySinceMs: number | null): AttemptUsage {
  const { attempt, driver, sampledAtMs, use, history } = measured;
  return {
    task_id: attempt.taskId,
    attempt: attempt.attempt,
    assignment: attempt.assignment,
    driver,
    sampled_at: formatTime(sampledAtMs),
    cpu_cores: use.cpuCores ?? undefined,
    memory_bytes: use.memoryBytes ?? undefined,
    memory_limit_bytes: use.memoryLimitBytes ?? undefined,
    pids: use.pids ?? undefined,
    read_bytes_per_second: use.readBytesPerSecond ?? undefined,
    write_bytes_per_second: use.writeBytesPerSecond ?? undefined,
    network_receive_bytes_per_second: use.receiveBytesPerSecond ?? undefined,
    network_transmit_bytes_per_second: use.transmitBytesPerSecond ?? undefined,
    history: historySinceMs === null || history === null ? [] : history.samples(historySinceMs),
  };
}
