/**
 * Lets a shorter T follow a shorter lease. Whatever was granted before the lease was shortened was granted by this leader
 * before it applied that, or by one before it: it is over when one old T has been counted here since the later of the
 * two [SHORTWAIT]. A new leader counts anew, and until then uses the old T as everybody does [SHORTNEW].
 */
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { settlingOf } from '../../model/earlier-rows.ts';
import type { SettlingTimeout } from '../../model/cluster.ts';
import type { Replica } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from './limits.ts';

export class TimeoutSettler {
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #log: Log;
  #unsubscribe: () => void = () => {};
  #cancelTimer: () => void = () => {};
  /** The shortening that is waited for, by its entry. */
  #index: number | null = null;
  #term: number | null = null;

  constructor(options: { replica: Replica; clock: Clock; log: Log }) {
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    this.#unsubscribe = this.#replica.onApplied(() => {
      if ((this.#settling?.index ?? null) !== this.#index) this.#count();
    });
    this.#count();
  }

  stop(): void {
    this.#term = null;
    this.#index = null;
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    this.#cancelTimer();
  }

  get #settling(): SettlingTimeout | undefined {
    const { cluster } = this.#replica.state;
    return cluster === null ? undefined : (settlingOf(cluster) ?? undefined);
  }

  /** One old T from now. */
  #count(): void {
    this.#cancelTimer();
    this.#index = this.#settling?.index ?? null;
    if (this.#settling === undefined) return;
    const { timeoutMs } = this.#settling;
    this.#log.info({ timeoutMs }, 'a shorter timeout counts once leases of the longer one are over');
    this.#cancelTimer = this.#clock.after(timeoutMs, () => void this.#settle());
  }

  async #settle(): Promise<void> {
    const term = this.#term;
    const index = this.#index;
    if (term === null || index === null) return;
    try {
      await this.#replica.propose({ type: 'timeoutSettled', term, index });
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'the shorter timeout is not committed yet');
    }
    if (this.#term !== term || this.#index !== index || this.#settling?.index !== index) return;
    this.#cancelTimer = this.#clock.after(LEADER_LIMITS.decisionRetryMs, () => void this.#settle());
  }
}
