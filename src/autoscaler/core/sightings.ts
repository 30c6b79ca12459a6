/** What lists of providers have shown of instances, one list after the other. Pure; a later leader begins anew. */
import type { ScalingProvider } from '../../model/autoscaling.ts';
import type { InstanceRow } from '../../model/scaling.ts';

/** As providers list it. */
interface SeenInstance {
  /** The provider's. */
  readonly id: string;
  readonly clientToken: string | null;
  readonly node: string | null;
  readonly state: 'pending' | 'running' | 'stopping' | 'gone';
  readonly message?: string;
}

/** One list: what a provider has, on one machine or altogether. */
export interface InstanceList {
  readonly provider: ScalingProvider;
  /** Null: the provider knows no machines. */
  readonly host: string | null;
  /** The cluster's time. */
  readonly beganAtMs: number;
  readonly instances: readonly SeenInstance[];
}

export interface Sighting {
  /** In the newest list; null: it was not there. */
  readonly seen: SeenInstance | null;
  /** Newest lists in a row without it. */
  readonly missing: number;
  /** In any list since this leader leads. */
  readonly wasSeen: boolean;
}

/** In lists, and in no row. */
export interface Stray {
  readonly provider: ScalingProvider;
  readonly host: string | null;
  readonly seen: SeenInstance;
  readonly lists: number;
  readonly sinceMs: number;
}

export interface Sightings {
  /** By id of the row. */
  readonly known: ReadonlyMap<string, Sighting>;
  /** By host and id of the provider. */
  readonly strays: ReadonlyMap<string, Stray>;
}

export const NO_SIGHTINGS: Sightings = { known: new Map(), strays: new Map() };

/** @param rows as they are now. What was asked for after the list began cannot be missed in it. */
export function noteList(
  before: Sightings,
  list: InstanceList,
  rows: ReadonlyMap<string, InstanceRow>,
): Sightings {
  const known = new Map([...before.known].filter(([id]) => rows.has(id)));
  const taken = new Set<string>();
  for (const row of rows.values()) {
    if (row.provider !== list.provider) continue;
    const seen = seenOf(row, list.instances);
    // Machines may share one engine: what was made by way of one of them the lists of all of them show.
    if (seen !== null) taken.add(seen.id);
    if (row.host !== list.host) continue;
    const isEarlier = list.beganAtMs < Math.max(row.phaseSinceMs, row.askedAtMs ?? 0);
    const { missing = 0, wasSeen = false } = known.get(row.id) ?? {};
    if (seen !== null) known.set(row.id, { seen, missing: 0, wasSeen: true });
    else if (!isEarlier) known.set(row.id, { seen: null, missing: missing + 1, wasSeen });
  }
  return { known, strays: straysAfter(before.strays, list, taken) };
}

/** A second one with the same token is another one: its provider makes two where it ought to make one. */
function seenOf({ id, providerId }: InstanceRow, instances: readonly SeenInstance[]): SeenInstance | null {
  const own = providerId === null ? undefined : instances.find((one) => one.id === providerId);
  return own ?? instances.find((one) => one.clientToken === id) ?? null;
}

function straysAfter(
  before: Sightings['strays'],
  { provider, host, beganAtMs, instances }: InstanceList,
  taken: ReadonlySet<string>,
): Sightings['strays'] {
  const strays = new Map(
    [...before].filter(([, stray]) => stray.provider !== provider || stray.host !== host),
  );
  for (const seen of instances) {
    // A machine keeps what has gone until it is told to end it; elsewhere it goes by itself.
    if (taken.has(seen.id) || (seen.state === 'gone' && host === null)) continue;
    const key = `${provider} ${host ?? ''} ${seen.id}`;
    const known = before.get(key);
    strays.set(key, {
      provider,
      host,
      seen,
      lists: (known?.lists ?? 0) + 1,
      sinceMs: known?.sinceMs ?? beganAtMs,
    });
  }
  return strays;
}
