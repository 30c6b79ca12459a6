/**
 * Of a cluster that was made from what is left of another one: sees to it that nothing is assigned before the other's
 * leases are over [EPOCH]. Whoever leads counts from when it began to, so that a change of leader only makes it later.
 */
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { longestTimeoutMs } from '../../model/timeouts.ts';
import type { Replica } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from './limits.ts';

export class LeaseSettler {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #log: Log;
  #cancelTimer: () => void = () => {};
  #term: number | null = null;

  constructor(options: { replica: Replica; clock: Clock; log: Log }) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    const { cluster } = this.#replica.state;
    if (cluster?.awaitsLeases !== true) return;
    this.#term = term;
    const timeoutMs = longestTimeoutMs(cluster, this.#replica.state.nodes.values());
    this.#log.info(
      { timeoutMs },
      'nothing is assigned until the leases of the cluster before this one are over',
    );
    this.#cancelTimer = this.#clock.after(timeoutMs, () => void this.#settle(term));
  }

  stop(): void {
    this.#term = null;
    this.#cancelTimer();
  }

  async #settle(term: number): Promise<void> {
    if (this.#term !== term) return;
    try {
      await this.#replica.propose({ type: 'leasesOver', term });
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'the end of earlier leases is not committed yet');
    }
    if (this.#term !== term || this.#replica.state.cluster?.awaitsLeases !== true) return;
    this.#cancelTimer = this.#clock.after(LEADER_LIMITS.decisionRetryMs, () => void this.#settle(term));
  }
}
