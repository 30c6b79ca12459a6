/**
 * Says once, when this node is in step with its leader, where its file says something else of the cluster's settings than
 * what counts: what files say is taken only when the cluster forms (docs/configuration.md).
 */
import type { Log } from '../lib/log.ts';
import type { ClusterRow } from '../model/cluster.ts';
import type { StatedSettings } from '../spec/settings/settings.ts';
import { allSettings, defaultSettings, differingSettings } from '../spec/settings/settings.ts';

export class SettingsNotice {
  readonly #stated: StatedSettings;
  readonly #log: Log;
  #isDone = false;

  /** @param stated what the file names; defaults are no statement */
  constructor(stated: StatedSettings, log: Log) {
    this.#stated = stated;
    this.#log = log;
  }

  look(cluster: ClusterRow | null): void {
    if (this.#isDone || cluster === null) return;
    this.#isDone = true;
    const defaults = defaultSettings(this.#stated.membership?.voters ?? 3);
    const counts = allSettings(cluster.config, defaults);
    // Names only: a value may be secret.
    const settings = differingSettings(this.#stated, counts, defaults);
    if (settings.length === 0) return;
    this.#log.warn(
      { settings },
      'settings of the cluster in the file of this node are not what counts: "jarvisctl config get" shows that, "jarvisctl config set" changes it',
    );
  }
}
