/** The history of the node: a row for each interval, from the measurements within it. */
import type { NodeSample } from '../../generated/cluster.ts';
import type { Clock } from '../../lib/clock.ts';
import { formatTime } from '../../lib/times.ts';
import type { Measured } from '../worker/usage-meter.ts';
import { History } from './history.ts';
import { MONITOR_LIMITS } from './limits.ts';

const WIDTH = 5;

interface Begun {
  readonly atMs: number;
  readonly measured: Measured;
}

export class NodeHistory {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #rows = new History(WIDTH, MONITOR_LIMITS.historySamples);
  /** Where the present interval began; the first measurement is the beginning of the first one. */
  #begun: Begun | null = null;
  #cpuPercents: number[] = [];

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  add(measured: Measured): void {
    const nowMs = this.#clock.monotonicMs();
    const begun = this.#begun;
    if (begun === null) {
      this.#begun = { atMs: nowMs, measured };
      return;
    }
    const { usage, network } = measured;
    this.#cpuPercents.push(usage.cpu_percent);
    const elapsedMs = nowMs - begun.atMs;
    if (elapsedMs < MONITOR_LIMITS.historyIntervalMs) return;
    const perSecond = (of: (network: Measured['network']) => number): number =>
      ((of(network) - of(begun.measured.network)) * 1000) / elapsedMs;
    this.#rows.add(usage.wall_ms, [
      this.#cpuPercents.reduce((sum, percent) => sum + percent, 0) / this.#cpuPercents.length,
      usage.memory_bytes,
      usage.disk_bytes,
      perSecond(({ receivedBytes }) => receivedBytes),
      perSecond(({ transmittedBytes }) => transmittedBytes),
    ]);
    this.#begun = { atMs: nowMs, measured };
    this.#cpuPercents = [];
  }

  /** The oldest first. @param sinceMs wall time: what is older is left out */
  samples(sinceMs: number): NodeSample[] {
    return [...this.#rows.rows(sinceMs)].map(({ atMs, values }) => {
      const [cpu, memory, disk, receive, transmit] = values.map((value) => value ?? 0);
      return {
        at: formatTime(atMs),
        cpu_percent: cpu ?? 0,
        memory_bytes: memory ?? 0,
        disk_bytes: disk ?? 0,
        network_receive_bytes_per_second: receive ?? 0,
        network_transmit_bytes_per_second: transmit ?? 0,
      };
    });
  }
}
