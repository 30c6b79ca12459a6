/** The history of one attempt. */
import type { AttemptSample } from '../../generated/cluster.ts';
import { formatTime } from '../../lib/times.ts';
import type { AttemptUse } from './attempt-rates.ts';
import { History } from './history.ts';
import { MONITOR_LIMITS } from './limits.ts';

const WIDTH = 7;

export class AttemptHistory {
  readonly #rows = new History(WIDTH, MONITOR_LIMITS.historySamples);

  add(atMs: number, use: AttemptUse): void {
    this.#rows.add(atMs, [
      use.cpuCores,
      use.memoryBytes,
      use.pids,
      use.readBytesPerSecond,
      use.writeBytesPerSecond,
      use.receiveBytesPerSecond,
      use.transmitBytesPerSecond,
    ]);
  }

  /** The oldest first. @param sinceMs wall time: what is older is left out */
  samples(sinceMs: number): AttemptSample[] {
    return [...this.#rows.rows(sinceMs)].map(({ atMs, values }) => {
      const [cpu, memory, pids, read, write, receive, transmit] = values;
      return {
        at: formatTime(atMs),
        cpu_cores: cpu ?? undefined,
        memory_bytes: memory ?? undefined,
        pids: pids ?? undefined,
        read_bytes_per_second: read ?? undefined,
        write_bytes_per_second: write ?? undefined,
        network_receive_bytes_per_second: receive ?? undefined,
        network_transmit_bytes_per_second: transmit ?? undefined,
      };
    });
  }
}
