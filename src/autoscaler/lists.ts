/** Asks providers for what they have, each machine by itself, and keeps what the lists have shown since this leader leads. */
import type { Clock } from '../lib/clock.ts';
import { JarvisError, messageOf } from '../lib/errors.ts';
import type { ScalingProvider } from '../model/autoscaling.ts';
import type { InstanceRow } from '../model/scaling.ts';
import type { StateView } from '../scheduler/ports.ts';
import { machinesFor } from './core/machines.ts';
import { NO_SIGHTINGS, noteList, type Sightings } from './core/sightings.ts';
import { AUTOSCALER_LIMITS } from './limits.ts';
import type { InstanceProviders } from './ports.ts';
import { isOfMachine } from './providers/provider.ts';

interface Place {
  readonly provider: ScalingProvider;
  readonly host: string | null;
  /** Else only what comes late is looked for: whoever may not ask any more is no failure. */
  readonly isInUse: boolean;
}

interface Listing {
  /** Monotonic. */
  dueMs: number;
  isUnderWay: boolean;
  failures: number;
}

interface InstanceListsOptions {
  readonly providers: InstanceProviders;
  readonly state: () => StateView;
  /** The cluster's time. */
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** A provider that cannot be listed, again and again. */
  readonly onFailure: (provider: ScalingProvider, reason: string) => void;
  /** There is news. */
  readonly onList: () => void;
}

export class InstanceLists {
  readonly #options: InstanceListsOptions;
  readonly #listings = new Map<string, Listing>();
  /** When it was in use last, or a row was of it; monotonic. */
  readonly #usedAtMs = new Map<ScalingProvider, number>();
  #sightings: Sightings = NO_SIGHTINGS;

  constructor(options: InstanceListsOptions) {
    this.#options = options;
  }

  get sightings(): Sightings {
    return this.#sightings;
  }

  /** Whether a provider fails to answer at present. */
  get isFailing(): boolean {
    return [...this.#listings.values()].some(({ failures }) => failures > 0);
  }

  /** Begins the lists that are due. @param isBusy something is on its way: they are due more often */
  look(isBusy: boolean, provider: ScalingProvider | null, signal: AbortSignal): void {
    const places = this.#places(provider);
    for (const key of this.#listings.keys()) if (!places.has(key)) this.#listings.delete(key);
    const nowMs = this.#options.clock.monotonicMs();
    const due: { readonly place: Place; readonly listing: Listing }[] = [];
    let underWay = 0;
    for (const [key, place] of places) {
      const listing = this.#listings.get(key) ?? { dueMs: nowMs, isUnderWay: false, failures: 0 };
      this.#listings.set(key, listing);
      if (isBusy) listing.dueMs = Math.min(listing.dueMs, nowMs + AUTOSCALER_LIMITS.listBusyMs);
      if (listing.isUnderWay) underWay += 1;
      else if (listing.dueMs <= nowMs) due.push({ place, listing });
    }
    // Those first that have waited longest: where there are many, all have their turn.
    due.sort((a, b) => a.listing.dueMs - b.listing.dueMs);
    const room = Math.max(0, AUTOSCALER_LIMITS.listsAtOnce - underWay);
    for (const { place, listing } of due.slice(0, room)) void this.#list(place, listing, isBusy, signal);
  }

  /** Where instances are, and where some may be that nobody knows. @param provider that is in use; null: none */
  #places(provider: ScalingProvider | null): ReadonlyMap<string, Place> {
    const state = this.#options.state();
    const { instances, nodes } = state;
    const rows = [...instances.values()];
    const places = new Map<string, Place>();
    const add = (place: Place): void => {
      if (place.host !== null && nodes.get(place.host)?.sessionOpen !== true) return;
      const key = `${place.provider} ${place.host ?? ''}`;
      if (places.get(key)?.isInUse !== true) places.set(key, place);
    };
    for (const { host, provider: name } of rows)
      if (host !== null || !isOfMachine(name)) add({ provider: name, host, isInUse: true });
    for (const name of this.#looked(provider, rows)) {
      const isInUse = name === provider;
      if (!isOfMachine(name)) add({ provider: name, host: null, isInUse });
      else for (const node of machinesFor(name, state)) add({ provider: name, host: node.name, isInUse });
    }
    return places;
  }

  /** What was asked for last may come late: also where another provider is in use since, or none. */
  #looked(provider: ScalingProvider | null, rows: readonly InstanceRow[]): readonly ScalingProvider[] {
    const nowMs = this.#options.clock.monotonicMs();
    for (const row of rows) this.#usedAtMs.set(row.provider, nowMs);
    if (provider !== null) this.#usedAtMs.set(provider, nowMs);
    for (const [name, atMs] of this.#usedAtMs)
      if (nowMs - atMs >= AUTOSCALER_LIMITS.afterUseMs) this.#usedAtMs.delete(name);
    return [...this.#usedAtMs.keys()];
  }

  /** Never throws. */
  async #list(place: Place, listing: Listing, isBusy: boolean, signal: AbortSignal): Promise<void> {
    const { providers, state, nowMs, clock, onFailure, onList } = this.#options;
    listing.isUnderWay = true;
    const beganAtMs = nowMs();
    try {
      const instances = await withDeadline(clock, AUTOSCALER_LIMITS.callMs, signal, (limit) =>
        providers.of(place.provider, place.host).list(limit),
      );
      if (signal.aborted) return;
      listing.failures = 0;
      this.#sightings = noteList(this.#sightings, { ...place, beganAtMs, instances }, state().instances);
      onList();
    } catch (error) {
      if (signal.aborted) return;
      listing.failures = place.isInUse ? listing.failures + 1 : 0;
      if (listing.failures === AUTOSCALER_LIMITS.listFailures)
        onFailure(place.provider, `what it has cannot be listed: ${messageOf(error)}`);
    } finally {
      listing.isUnderWay = false;
      const delayMs = isBusy ? AUTOSCALER_LIMITS.listBusyMs : AUTOSCALER_LIMITS.listMs;
      listing.dueMs = clock.monotonicMs() + delayMs;
    }
  }
}

/** @throws what the work throws; by then at the latest it is told to end */
export async function withDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  signal: AbortSignal,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController();
  const error = new JarvisError('timeout', `no answer within ${deadlineMs / 1000} s`);
  const cancel = clock.after(deadlineMs, () => timeout.abort(error));
  try {
    return await work(AbortSignal.any([signal, timeout.signal]));
  } finally {
    cancel();
  }
}
