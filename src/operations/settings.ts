/** The settings that belong to the cluster (docs/contract.md, section 6), as requests change them and answers show them. */
import type { ClusterSettings, HeartbeatChange, SetConfigRequest } from '../generated/cluster.ts';
import type { Fault } from '../lib/errors.ts';
import { messageOf } from '../lib/errors.ts';
import { parseDurationMs } from '../lib/quantities.ts';
import { DEFAULT_MEMBERSHIP, type ClusterConfig, type ClusterRow } from '../model/cluster.ts';
import { settlingOf } from '../model/earlier-rows.ts';
import { invalidInput } from '../spec/faults.ts';

type Heartbeat = ClusterConfig['heartbeat'];

const FIELDS = [
  ['interval', 'intervalMs'],
  ['warning', 'warningMs'],
  ['timeout', 'timeoutMs'],
] as const satisfies readonly (readonly [keyof HeartbeatChange, keyof Heartbeat])[];

/** Whether they go together is for the state to say that they are to change. @throws JarvisError invalid */
export function parseSetConfig({ heartbeat }: SetConfigRequest): Partial<Heartbeat> {
  const changes: Partial<Record<keyof Heartbeat, number>> = {};
  const faults: Fault[] = [];
  for (const [name, field] of FIELDS) {
    const text = heartbeat?.[name];
    if (text === undefined) continue;
    try {
      changes[field] = parseDurationMs(text);
    } catch (error) {
      faults.push({ path: `heartbeat.${name}`, message: messageOf(error) });
    }
  }
  if (faults.length === 0 && Object.keys(changes).length === 0) {
    const message = 'names nothing to change; allowed: heartbeat with interval, warning, timeout';
    faults.push({ path: '', message });
  }
  if (faults.length > 0) throw invalidInput(faults);
  return changes;
}

export function settingsView(cluster: ClusterRow): ClusterSettings {
  const { heartbeat, membership } = cluster.config;
  const settling = settlingOf(cluster);
  return {
    heartbeat: {
      interval: heartbeat.intervalMs / 1000,
      warning: heartbeat.warningMs / 1000,
      timeout: heartbeat.timeoutMs / 1000,
    },
    membership: {
      voters: membership?.voters,
      learners: membership?.learners ?? DEFAULT_MEMBERSHIP.learners,
      voter_grace: (membership?.voterGraceMs ?? DEFAULT_MEMBERSHIP.voterGraceMs) / 1000,
    },
    settling_timeout: settling === null ? undefined : settling.timeoutMs / 1000,
  };
}
