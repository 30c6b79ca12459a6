/**
 * Says once, when this node is in step with its leader, where its file says something else of the cluster's settings than
 * what counts: what files say is taken only when the cluster forms (docs/contract.md, section 6).
 */
import type { Log } from '../lib/log.ts';
import type { ClusterConfig, ClusterRow } from '../model/cluster.ts';

type Heartbeat = ClusterConfig['heartbeat'];

export class SettingsNotice {
  readonly #stated: Partial<Heartbeat>;
  readonly #log: Log;
  #isDone = false;

  /** @param stated what the file names; defaults are no statement */
  constructor(stated: Partial<Heartbeat>, log: Log) {
    this.#stated = stated;
    this.#log = log;
  }

  look(cluster: ClusterRow | null): void {
    if (this.#isDone || cluster === null) return;
    this.#isDone = true;
    const counts = cluster.config.heartbeat;
    const names = Object.keys(this.#stated) as (keyof Heartbeat)[];
    if (names.every((name) => this.#stated[name] === counts[name])) return;
    this.#log.warn(
      { stated: this.#stated, counts },
      'the heartbeat in the settings of this node is not what counts: "jarvisctl config set" changes that',
    );
  }
}
