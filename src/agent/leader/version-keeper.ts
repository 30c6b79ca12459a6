/**
 * Raises the cluster version once every member knows a later one (docs/adr/0012). What a member knows is what the process
 * at the other end of the stream to it has said: one that is started anew, as another build, says it anew.
 */
import type { Clock } from '../../lib/clock.ts';
import { CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { messageOf } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import type { Log } from '../../lib/log.ts';
import type { Laggard } from '../../model/command-versions.ts';
import { clusterVersionOf } from '../../model/command-versions.ts';
import type { Replica } from '../../scheduler/ports.ts';

interface VersionKeeperOptions {
  readonly replica: Pick<Replica, 'state' | 'propose'>;
  /** Of all other members; null: not heard of. */
  readonly others: () => readonly Laggard[];
  readonly clock: Clock;
  readonly log: Log;
}

/** The newest version that all know; null where that is not known of one of them. */
export function commonVersion(others: readonly Laggard[]): number | null {
  let common = CLUSTER_VERSION;
  for (const { version } of others) {
    if (version === null) return null;
    common = Math.min(common, version);
  }
  return common;
}

export function laggardsAmong(others: readonly Laggard[]): readonly Laggard[] {
  return others.filter(({ version }) => version === null || version < CLUSTER_VERSION);
}

export class VersionKeeper {
  readonly #options: VersionKeeperOptions;
  #term: number | null = null;
  #cancelTimer: () => void = () => {};

  constructor(options: VersionKeeperOptions) {
    this.#options = options;
  }

  start(term: number): void {
    this.stop();
    this.#term = term;
    void this.#look(term);
  }

  stop(): void {
    this.#term = null;
    this.#cancelTimer();
  }

  /** Never throws. */
  async #look(term: number): Promise<void> {
    const { replica, others, clock, log } = this.#options;
    const version = commonVersion(others());
    try {
      if (version !== null && version > clusterVersionOf(replica.state.cluster)) {
        const outcome = await replica.propose({ type: 'raiseVersion', term, version });
        if (outcome.type === 'refused')
          log.info({ code: outcome.code }, 'the cluster version was not raised');
      }
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the cluster version is not raised yet');
    }
    if (this.#term === term)
      this.#cancelTimer = clock.after(limits.versionLookMs, () => void this.#look(term));
  }
}
