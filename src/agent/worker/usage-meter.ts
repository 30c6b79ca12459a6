/**
 * What the node uses at present: of the machine, or of the control group that it is confined to, measured on a timer of its
 * own: a heartbeat takes the newest value there is and never waits for one. cpu and network come straight from /proc, for systeminformation spawns processes synchronously to read
 * them, which would hold the ticks of Raft; memory is systeminformation's.
 */
import { readFile, statfs } from 'node:fs/promises';

import { mem } from 'systeminformation/lib/memory.js';

import type { Usage } from '../../generated/worker.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { RepeatedLines } from '../../lib/repeated-lines.ts';
import type { Pressure } from '../../model/node.ts';
import { WORKER_LIMITS } from './limits.ts';
import { NetworkCounters, type NetworkBytes } from './network-counters.ts';
import { pressureOfRooms, type Room } from './pressure.ts';

export interface UsageSource {
  /** null where nothing is known: before the first measurement, and once the newest is old. */
  latest(): Usage | null;
}

/** What is used of a quota of cpu time. */
interface QuotaUse {
  /** Whose quota it is: nodes with the same share it. */
  readonly scope: string;
  readonly quotaMillis: number;
  /** Microseconds that were used so far. */
  readonly usedUs: number;
  /** Thousandths of a processor that are used beside that, and count as well. */
  readonly outsideMillis: number;
}

/** Null, each for itself: the machine's counts. */
interface ConfinedUse {
  readonly cpu: QuotaUse | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
}

export interface ConfinementSource {
  measure(): Promise<ConfinedUse>;
}

/** One measurement of the node. */
export interface Measured {
  readonly usage: Usage;
  /** Counters that never fall while this daemon lives; since about the boot of the machine. */
  readonly network: NetworkBytes;
}

interface Counters extends NetworkBytes {
  readonly atMs: number;
  readonly quota: QuotaUse | null;
  readonly busyTicks: number;
  readonly totalTicks: number;
}

/** As statfs(2) has them. */
type Disk = Readonly<Record<'blocks' | 'bfree' | 'bavail' | 'bsize', number>>;

interface Reading {
  readonly counters: Counters;
  readonly disk: Disk;
  readonly memory: Awaited<ReturnType<typeof mem>>;
  readonly confined: ConfinedUse;
}

interface UsageMeterOptions {
  /** On the file system whose use is reported. */
  readonly directory: string;
  readonly confinement: ConfinementSource;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Told each measurement; must not throw. */
  readonly onMeasured?: (measured: Measured) => void;
  readonly readDisk?: (directory: string) => Promise<Disk>;
}

export class UsageMeter implements UsageSource {
  readonly #options: UsageMeterOptions;
  readonly #network = new NetworkCounters();
  #latest: Measured | null = null;
  #previous: Counters | null = null;
  #pressure: readonly Pressure[] = [];
  #latestAtMs = 0;
  #isReading = false;
  #cancel: (() => void) | null = null;
  #cancelLimit: (() => void) | null = null;
  readonly #complaints: RepeatedLines;
  #closed = false;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
    const { clock } = options;
    this.#complaints = new RepeatedLines({
      clock,
      intervalMs: WORKER_LIMITS.usageComplaintMs,
      kindsKept: 1,
    });
  }

  start(): void {
    void this.#measure();
  }

  latest(): Usage | null {
    return this.measured()?.usage ?? null;
  }

  /** As {@link latest}, with the counters. */
  measured(): Measured | null {
    const { clock, intervalMs } = this.#options;
    const ageMs = clock.monotonicMs() - this.#latestAtMs;
    return ageMs > WORKER_LIMITS.usageIntervalsKept * intervalMs ? null : this.#latest;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#cancelLimit?.();
  }

  /**
   * Never two at once: one that hangs, as on a file system that does not answer, holds threads of this process. It costs
   * later ones, until it ends.
   */
  async #measure(): Promise<void> {
    const { clock, intervalMs, log } = this.#options;
    try {
      if (this.#isReading) throw new Error('an earlier measurement has not ended yet');
      this.#take(await this.#bounded(this.#read()));
    } catch (error) {
      this.#complaints.write('usage', (heldBack) =>
        log.warn({ error: messageOf(error), heldBack }, 'the usage of this node cannot be measured'),
      );
    }
    if (!this.#closed) this.#cancel = clock.after(intervalMs, () => void this.#measure());
  }

  async #read(): Promise<Reading> {
    const { clock, confinement, directory, readDisk = statfs } = this.#options;
    const parts = [
      readFile('/proc/stat', 'utf8'),
      readFile('/proc/net/dev', 'utf8'),
      mem(),
      readDisk(directory),
      confinement.measure(),
    ] as const;
    this.#isReading = true;
    // Each to its end, also where another fails.
    void Promise.allSettled(parts).finally(() => (this.#isReading = false));
    const [stat, network, memory, disk, confined] = await Promise.all(parts);
    const counters: Counters = {
      atMs: clock.monotonicMs(),
      quota: confined.cpu,
      ...parseCpuTicks(stat),
      ...this.#network.take(network),
    };
    return { counters, memory, disk, confined };
  }

  /** @throws where it takes too long: what comes of it then is of no use any more */
  async #bounded(reading: Promise<Reading>): Promise<Reading> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const { usageTimeoutMs } = WORKER_LIMITS;
    this.#cancelLimit = this.#options.clock.after(usageTimeoutMs, () =>
      reject(new Error(`it has not ended within ${usageTimeoutMs / 1000} s`)),
    );
    try {
      return await Promise.race([reading, late]);
    } finally {
      this.#cancelLimit();
    }
  }

  #take({ counters, memory, disk, confined }: Reading): void {
    const rooms = {
      // What others than root may still write.
      disk: { total: disk.blocks * disk.bsize, available: disk.bavail * disk.bsize },
      memory: memoryRoom(confined, memory),
    };
    this.#pressure = pressureOfRooms(rooms, this.#pressure);
    const usage: Usage = {
      ...rates(this.#previous, counters),
      memory_bytes: sendable(confined.memoryBytes ?? memory.active),
      memory_size_bytes: sendable(rooms.memory.total),
      disk_bytes: sendable((disk.blocks - disk.bfree) * disk.bsize),
      disk_size_bytes: sendable(rooms.disk.total),
      wall_ms: this.#options.clock.wallMs(),
      pressure: [...this.#pressure],
      cpu_scope: confined.cpu?.scope ?? '',
    };
    const { receivedBytes, transmittedBytes } = counters;
    this.#latest = { usage, network: { receivedBytes, transmittedBytes } };
    this.#latestAtMs = counters.atMs;
    this.#previous = counters;
    this.#options.onMeasured?.(this.#latest);
  }
}

/**
 * As a heartbeat can carry it: whole, and exact as a number. File systems without an end of their own say that they have 8 EiB,
 * and some that more is free than there is; the node is to be heard of all the same.
 */
function sendable(bytes: number): number {
  return Number.isFinite(bytes) ? Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.round(bytes))) : 0;
}

/** Of a group that may use less than the machine, what that leaves; and never more than the machine has left. */
function memoryRoom(
  { memoryBytes, memoryLimitBytes }: ConfinedUse,
  machine: { readonly total: number; readonly available: number },
): Room {
  if (memoryBytes === null || memoryLimitBytes === null) return machine;
  const left = Math.max(0, memoryLimitBytes - memoryBytes);
  return { total: memoryLimitBytes, available: Math.min(left, machine.available) };
}

/** Differences of two samples; zero before there are two. */
export function rates(
  before: Counters | null,
  now: Counters,
): Pick<
  Usage,
  | 'cpu_percent'
  | 'network_bytes_per_second'
  | 'network_receive_bytes_per_second'
  | 'network_transmit_bytes_per_second'
> {
  const isFirst = before === null || now.atMs <= before.atMs;
  const perSecond = (of: (counters: Counters) => number): number =>
    isFirst ? 0 : (Math.max(0, of(now) - of(before)) * 1000) / (now.atMs - before.atMs);
  const received = perSecond(({ receivedBytes }) => receivedBytes);
  const transmitted = perSecond(({ transmittedBytes }) => transmittedBytes);
  return {
    cpu_percent: isFirst ? 0 : Math.min(100, Math.max(0, 100 * busyShare(before, now))),
    network_bytes_per_second: received + transmitted,
    network_receive_bytes_per_second: received,
    network_transmit_bytes_per_second: transmitted,
  };
}

function busyShare(before: Counters, now: Counters): number {
  if (now.quota !== null) return quotaShare(before, now, now.quota);
  const ticks = now.totalTicks - before.totalTicks;
  return ticks <= 0 ? 0 : (now.busyTicks - before.busyTicks) / ticks;
}

function quotaShare(before: Counters, now: Counters, quota: QuotaUse): number {
  if (before.quota?.scope !== quota.scope) return 0;
  // A thousandth of a processor is a microsecond each millisecond.
  const insideMillis = Math.max(0, quota.usedUs - before.quota.usedUs) / (now.atMs - before.atMs);
  return (insideMillis + quota.outsideMillis) / quota.quotaMillis;
}

/** The line `cpu` of /proc/stat: user nice system idle iowait irq softirq steal (proc(5)). */
export function parseCpuTicks(stat: string): { readonly busyTicks: number; readonly totalTicks: number } {
  const line = stat.slice(0, stat.indexOf('\n'));
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  const totalTicks = ticks.reduce((sum, value) => sum + value, 0);
  const [, , , idle = 0, waiting = 0] = ticks;
  return { busyTicks: totalTicks - idle - waiting, totalTicks };
}
